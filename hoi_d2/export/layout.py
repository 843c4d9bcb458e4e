"""Exports the layout model: the detector, and the heads for any number of entities and pairs."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from hoi_d2.export.detector import ExportableDetector, detector_graph
from hoi_d2.export.graph import Graph
from hoi_d2.export.rmlr import LOGITS
from hoi_d2.modeling.meta_arch.layout import LayoutRmLR
from hoi_d2.modeling.roi_heads.layout_heads import LayoutHeads

ENTITIES = ("entity_boxes", "entity_classes", "entity_scores")
ROWS = "pair_rows"
_EXAMPLE_ENTITIES = 7


class LayoutHeadModule(nn.Module):
    """E entities and M pairs of one image -> verb logits (M, K)."""

    def __init__(self, heads: LayoutHeads) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, boxes: Tensor, classes: Tensor, scores: Tensor, rows: Tensor) -> Tensor:
        """
        Args:
            boxes: (E, 4) XYXY pixels of the detector's input.
            classes, scores: (E,).
            rows: (M, 2) human and object of each pair, rows of the entities.
        """
        return self.heads.verb_logits(boxes, classes, scores, [boxes.shape[0]], rows)


def layout_graphs(model: LayoutRmLR, size: tuple[int, int]) -> list[Graph]:
    """ "detector" and "head"; see `export_model`."""
    heads = cast(LayoutHeads, model.interaction_heads)
    head = Graph(
        name="head",
        module=LayoutHeadModule(heads),
        inputs=(*ENTITIES, ROWS),
        outputs=(LOGITS,),
        example=lambda number: example_entities(heads.entities.num_classes, size, number=number),
        per_pair=(ROWS, LOGITS),
        per_entity=ENTITIES,
    )
    detector = cast(ExportableDetector, model.entity_detector)
    return [detector_graph(detector, size, with_map=False), head]


def layout_settings(model: LayoutRmLR) -> dict[str, Any]:
    """Returns the settings of the heads that the runner needs."""
    return {"powers": [model.prior_exponents[1]] * 2, "score": "sigmoid", "temperature": 1.0}


def example_entities(
    num_classes: int, size: tuple[int, int], *, number: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns inputs of the heads for that many pairs, and a suitable number of entities."""
    generator = torch.Generator().manual_seed(number)
    entities = _EXAMPLE_ENTITIES + number
    corners = torch.rand(entities, 2, 2, generator=generator).sort(dim=1).values
    boxes = (corners * torch.tensor(size).flip(0)).flatten(1)
    classes = torch.randint(num_classes, (entities,), generator=generator)
    scores = torch.rand(entities, generator=generator)
    rows = torch.randint(entities, (number, 2), generator=generator)
    return boxes, classes, scores, rows
