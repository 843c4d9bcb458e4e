"""Exports RmLR: the detector with feature map, and the interaction head for any number of pairs."""

from __future__ import annotations

from typing import Any, cast

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from hoi_d2.export.detector import (
    MAP,
    DetectorModule,
    ExportableDetector,
    detector_graph,
    example_image,
)
from hoi_d2.export.graph import Graph
from hoi_d2.modeling.entity_detector.interface import Entities
from hoi_d2.modeling.meta_arch.rmlr import RmLR
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs

PAIRS = ("human_boxes", "object_boxes", "human_tokens", "object_tokens")
INPUTS = ("feature_map", "feature_mask", "image_size", *PAIRS)
LOGITS = "verb_logits"


class RmLRHeadModule(nn.Module):
    """A feature map and M pairs of one image -> verb logits (M, K)."""

    def __init__(self, model: RmLR) -> None:
        super().__init__()
        self.heads = model.interaction_heads

    def forward(
        self,
        feature_map: Tensor,
        feature_mask: Tensor,
        image_size: Tensor,
        human_boxes: Tensor,
        object_boxes: Tensor,
        human_tokens: Tensor,
        object_tokens: Tensor,
    ) -> Tensor:
        """Computes the verb logits of the pairs of one image.

        Args:
            feature_map, feature_mask: (1, C, h, w) and (1, h, w), from the detector.
            image_size: (2,) height and width of the image without padding.
            human_boxes, object_boxes: (M, 4) XYXY pixels of the detector's input.
            human_tokens, object_tokens: (M, d).
        """
        index = torch.zeros_like(human_boxes[:, 0], dtype=torch.int64)
        pairs = CandidatePairs(
            instances=[Instances(cast(Any, image_size), pred_boxes=Boxes(human_boxes))],
            pair_indices=[],
            counts=[human_boxes.shape[0]],
            image_index=index,
            human_boxes=human_boxes,
            object_boxes=object_boxes,
            human_tokens=human_tokens,
            object_tokens=object_tokens,
            human_scores=index,
            object_scores=index,
            object_classes=index,
        )
        return self.heads(Entities([], feature_map, feature_mask), pairs).verb_logits


def rmlr_graphs(model: RmLR, size: tuple[int, int]) -> list[Graph]:
    """ "detector" and "head"; see `export_model`."""
    detector = cast(ExportableDetector, model.entity_detector)
    head = Graph(
        name="head",
        module=RmLRHeadModule(model),
        inputs=INPUTS,
        outputs=(LOGITS,),
        example=lambda number: example_pairs(detector, size, number=number),
        per_pair=(*PAIRS, LOGITS),
    )
    return [detector_graph(detector, size, with_map=True), head]


def rmlr_settings(model: RmLR) -> dict[str, Any]:
    """Returns the settings of the head that the runner needs."""
    return {"powers": [model.prior_exponents[1]] * 2, "score": "sigmoid", "temperature": 1.0}


@torch.no_grad()
def example_pairs(
    detector: ExportableDetector, size: tuple[int, int], *, number: int
) -> tuple[Tensor, ...]:
    """Returns inputs of the head for that many pairs."""
    image, mask = example_image(size)
    found = DetectorModule(detector, with_map=True)(image, mask)
    tokens, feature_map, feature_mask = found[-len(MAP) :]
    inner = torch.stack([mask[0].any(dim=1).sum(), mask[0].any(dim=0).sum()])
    generator = torch.Generator().manual_seed(number)
    rows = torch.randint(len(tokens), (2, number), generator=generator)
    corners = torch.rand(2, number, 2, 2, generator=generator).sort(dim=2).values
    human, target = (corners * inner.flip(0)).flatten(2)
    return feature_map, feature_mask, inner, human, target, tokens[rows[0]], tokens[rows[1]]
