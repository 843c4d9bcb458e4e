"""V-COCO's rule for one detection: whose it is, and whether its object box is accepted."""

from __future__ import annotations

import numpy as np

from hoi_d2.evaluation import matching
from hoi_d2.evaluation.vcoco_truth import VCOCOTruth

IOU_THRESHOLD = 0.5


def nearest_persons(
    boxes: np.ndarray, images: np.ndarray, truth: VCOCOTruth
) -> tuple[np.ndarray, np.ndarray]:
    """The person of the image that each human box overlaps most, ignored ones included.

    Args:
        boxes: (R, 4) human boxes, fastest where equal ones stand together.
        images: (R,) row of each one's image.
        truth: the persons.

    Returns:
        (R,) row of the person, -1 = the image has none; (R,) IoU with that person.
    """
    new = np.ones(len(boxes), dtype=bool)  # rows of one human mostly stand together
    new[1:] = (boxes[1:] != boxes[:-1]).any(axis=1) | (images[1:] != images[:-1])
    heads = np.flatnonzero(new)
    person, overlap = np.full(len(heads), -1), np.zeros(len(heads))
    queries, items, begins = matching.Groups.of(truth.images).join(images[heads])
    rows = np.repeat(queries, np.diff(np.append(begins, len(items))))
    iou = matching.pairwise_iou(boxes[heads[rows]], truth.boxes[items], pixel=1.0)
    best = matching.first_argmax(iou, begins)
    person[queries], overlap[queries] = items[best], iou[best]
    head_of = np.cumsum(new) - 1
    return person[head_of], overlap[head_of]


def objects_right(given: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
    """Whether object boxes are accepted, in each scenario.

    Args:
        given: (R, 4) detected; NaN or zeros = none.
        wanted: (R, 4) annotated; NaN = none.

    Returns:
        `role_s1` (without an annotated object the box must be empty) and `role_s2` (it may be
        anything), (R,) bool each.
    """
    absent = np.isnan(wanted[:, 0])
    hit = ~absent & (matching.pairwise_iou(given, wanted, pixel=1.0) >= IOU_THRESHOLD)
    empty = np.isnan(given).all(axis=1) | (given == 0).all(axis=1)
    return {"role_s1": hit | (absent & empty), "role_s2": hit | absent}
