"""Entities that come with the model input: no network, no tokens, no pixels."""

from __future__ import annotations

import os
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.structures import Instances

from hoi_d2.modeling.entity_detector.interface import (
    ENTITY_DETECTOR_REGISTRY,
    Entities,
    EntityDetector,
)


@ENTITY_DETECTOR_REGISTRY.register()
class AnnotatedEntityDetector(EntityDetector):
    """Gives the `instances` of the model input, with scores of 1.

    For heads that look at boxes and classes alone (`LayoutHeads`).
    """

    token_dim = 0

    @configurable
    def __init__(self) -> None:
        super().__init__()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {}

    def output_shape(self) -> ShapeSpec:
        """No channels: there is no map."""
        return ShapeSpec(channels=0, stride=1)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Entities:
        """The annotated entities of the inputs.

        Raises:
            ValueError: an input has no `instances`.
        """
        if any("instances" not in x for x in batched_inputs):
            raise ValueError(
                "AnnotatedEntityDetector needs `instances` in the model input: set "
                "DATALOADER.MAPPER to hoi_d2.data.layout_mapper.LayoutMapper, or choose another "
                "MODEL.ENTITY_DETECTOR.NAME to find entities in images"
            )
        device = self.pixel_mean.device
        return Entities([_certain(x["instances"].to(device)) for x in batched_inputs], None, None)

    def load_weights(
        self, path: str | os.PathLike, *, sha256: str = "", revision: str = ""
    ) -> None:
        """There are none.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "AnnotatedEntityDetector takes no weights, and MODEL.ENTITY_DETECTOR.WEIGHTS is "
            f'{path}: set it to ""'
        )


def _certain(annotated: Instances) -> Instances:
    return Instances(
        annotated.image_size,
        pred_boxes=annotated.gt_boxes,
        scores=torch.ones(len(annotated), device=annotated.gt_classes.device),
        pred_classes=annotated.gt_classes,
    )
