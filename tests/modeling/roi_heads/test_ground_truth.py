"""Annotated entities that the detector missed join its detections."""

from __future__ import annotations

import pytest
import torch
from detectron2.structures import Boxes, Instances

from hoi_d2.modeling.roi_heads.ground_truth import add_ground_truth

PERSON, BIKE = 0, 1
A, A_MOVED, B, C = [0, 0, 40, 40], [2, 0, 42, 40], [60, 0, 90, 40], [0, 60, 40, 90]


def found(*rows: tuple[list[int], int], size=(100, 100), tokens: bool = True) -> Instances:
    boxes = torch.tensor([box for box, _ in rows], dtype=torch.float32).reshape(-1, 4)
    result = Instances(
        size,
        pred_boxes=Boxes(boxes),
        scores=torch.full((len(rows),), 0.5),
        pred_classes=torch.tensor([c for _, c in rows], dtype=torch.int64),
    )
    if tokens:
        result.tokens = torch.arange(len(rows), dtype=torch.float32)[:, None]
    return result


def annotated(*rows: tuple[list[int], int], size=(100, 100)) -> Instances:
    boxes = torch.tensor([box for box, _ in rows], dtype=torch.float32).reshape(-1, 4)
    classes = torch.tensor([c for _, c in rows], dtype=torch.int64)
    return Instances(size, gt_boxes=Boxes(boxes), gt_classes=classes)


@pytest.mark.parametrize(
    ("detections", "truth", "added", "tokens"),
    [
        (found(), annotated(), [], []),
        (found((A, PERSON)), annotated(), [], []),
        (found(), annotated((A, PERSON)), [], []),  # there is no token to take
        (found(tokens=False), annotated((A, PERSON)), [A], []),
        (found((A_MOVED, PERSON)), annotated((A, PERSON)), [], []),
        (found((A_MOVED, BIKE), (B, BIKE)), annotated((A, PERSON)), [A], [0]),
        (found((A, PERSON), (B, BIKE)), annotated((A, PERSON), (B, PERSON)), [B], [1]),
        (found((A, PERSON)), annotated((B, BIKE), (C, PERSON)), [B, C], [0, 0]),
    ],
)
def test_what_is_added(detections, truth, added, tokens):
    [result] = add_ground_truth([detections], [truth])
    assert len(result) == len(detections) + len(added)
    new = result[len(detections) :]
    assert new.pred_boxes.tensor.tolist() == added
    assert new.scores.tolist() == [1.0] * len(added)
    if result.has("tokens"):
        assert new.tokens[:, 0].tolist() == tokens


def test_boxes_are_scaled_to_the_detector_s_image():
    truth = annotated(([0, 0, 20, 20], PERSON), size=(50, 50))
    [result] = add_ground_truth([found(tokens=False)], [truth])
    assert result.pred_boxes.tensor.tolist() == [[0, 0, 40, 40]]
