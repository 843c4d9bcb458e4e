"""Ids, records and results that the tests of drawing share."""

import numpy as np

from hoi_d2.evaluation.results import HOIResults

RIDE, HOLD, HUG = 0, 1, 2
PERSON, BICYCLE, BALL = 0, 1, 2


def entity(box: list[float], category: int) -> dict:
    return {"bbox": box, "bbox_mode": 0, "category_id": category, "iscrowd": 0}


def hoi(human: int, target: int, verb: int, hoi_id: int = -1) -> dict:
    return {"human": human, "object": target, "verb": verb, "hoi": hoi_id}


def make_results(rows: list[tuple]) -> HOIResults:
    """Rows of image id, human box, object box or None, object class, verb, HOI, score."""
    columns = list(zip(*rows)) if rows else [[]] * 7
    nowhere = [float("nan")] * 4
    return HOIResults(
        image_ids=np.array(columns[0], dtype=np.int64),
        human_boxes=np.array(columns[1], dtype=float).reshape(-1, 4),
        object_boxes=np.array([b or nowhere for b in columns[2]], dtype=float).reshape(-1, 4),
        object_classes=np.array(columns[3], dtype=np.int32),
        verb_classes=np.array(columns[4], dtype=np.int32),
        hoi_classes=np.array(columns[5], dtype=np.int32),
        scores=np.array(columns[6], dtype=float),
    )
