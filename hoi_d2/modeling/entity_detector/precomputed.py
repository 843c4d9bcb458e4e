"""Entities that no network finds: stored detections, or the annotations themselves."""

from __future__ import annotations

import os
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor
from torchvision.ops import box_convert

from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector
from hoi_d2.modeling.entity_detector.interface import (
    ENTITY_DETECTOR_REGISTRY,
    Entities,
    EntityDetector,
)
from hoi_d2.modeling.entity_detector.stored_boxes import StoredBoxes, stored_boxes

_NO_TOKENS = (
    "PrecomputedEntityDetector gives boxes alone. RmLR also wants a feature map and tokens: set "
    "MODEL.ENTITY_DETECTOR.NAME to OracleEntityDetector, which takes both from DETR"
)


@ENTITY_DETECTOR_REGISTRY.register()
class PrecomputedEntityDetector(EntityDetector):
    """Stored boxes, scores and classes; no tokens, no feature map (DEFR-Det needs neither).

    Args:
        boxes: of every image that will be asked for.
    """

    @configurable
    def __init__(self, *, boxes: StoredBoxes) -> None:
        super().__init__()
        self.boxes = boxes

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {"boxes": stored_boxes(cfg)}

    @property
    def token_dim(self) -> int:  # type: ignore[override]  # there is none to set
        raise ValueError(_NO_TOKENS)

    def output_shape(self) -> ShapeSpec:
        raise ValueError(_NO_TOKENS)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Entities:
        """Looks the images up.

        Raises:
            KeyError: nothing is stored of an image.
        """
        images, _ = self.preprocess(batched_inputs)
        instances = [self.boxes.instances(x, images.device) for x in batched_inputs]
        return Entities(instances, None, None, images)

    def load_weights(
        self, path: str | os.PathLike, *, sha256: str = "", revision: str = ""
    ) -> None:
        """There are none.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"PrecomputedEntityDetector takes no weights, and MODEL.ENTITY_DETECTOR.WEIGHTS is "
            f'{path}: set it to ""'
        )


@ENTITY_DETECTOR_REGISTRY.register()
class OracleEntityDetector(DetrEntityDetector):
    """DETR's map and tokens under stored boxes: what RmLR could do with a perfect detector.

    Each box gets the token of the query that fits it best: overlap plus chance of its class. Its
    weights have DETR's names, so that a trained RmLR can be evaluated with it as it is.

    Args:
        boxes: of every image that will be asked for.
        detr: arguments of `DetrEntityDetector`.
    """

    @configurable
    def __init__(self, *, boxes: StoredBoxes, **detr: Any) -> None:
        super().__init__(**detr)
        self.boxes = boxes

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {**super().from_config(cfg), "boxes": stored_boxes(cfg)}

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Entities:
        """The stored boxes with the queries' tokens.

        Raises:
            KeyError: nothing is stored of an image.
        """
        images, mask = self.preprocess(batched_inputs)
        output = self.network(images.tensor, mask)
        chances = self.class_chances(output.logits[-1])
        queries = box_convert(output.boxes[-1].float(), "cxcywh", "xyxy")
        instances = []
        for row, model_input in enumerate(batched_inputs):
            found = self.boxes.instances(model_input, mask.device)
            best = _best_queries(found, queries[row], chances[row])
            found.tokens = output.tokens[row][best]
            instances.append(found)
        return Entities(instances, output.feature_map, output.feature_mask, images)


def _best_queries(found: Instances, boxes: Tensor, chances: Tensor) -> Tensor:
    """(N,) query for each entity; `boxes` (Q, 4) are shares, `chances` (Q, dataset classes)."""
    height, width = found.image_size
    scaled = Boxes(boxes * boxes.new_tensor([width, height, width, height]))
    fit = pairwise_iou(found.pred_boxes, scaled) + chances.T[found.pred_classes]
    return fit.argmax(dim=1) if len(fit) else torch.zeros(0, dtype=torch.int64, device=fit.device)
