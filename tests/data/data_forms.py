"""Small files in official forms, and a comparison of dataset dicts by what they say."""

from __future__ import annotations

import numpy as np


def pair_set(records: list[dict], digits: int = 3) -> set[tuple]:
    """{(image, human box, object box or None, object class, verb, hoi)} of dataset dicts."""

    def box(record: dict, index: int) -> tuple | None:
        if index < 0:
            return None
        return tuple(round(float(v), digits) for v in record["annotations"][index]["bbox"])

    found = set()
    for record in records:
        for pair in record["hoi_annotations"]:
            target = pair["object"]
            category = record["annotations"][target]["category_id"] if target >= 0 else -1
            boxes = box(record, pair["human"]), box(record, target)
            found.add((record["image_id"], *boxes, category, pair["verb"], pair["hoi"]))
    return found


def struct(**fields: object) -> np.ndarray:
    """A 1 x 1 MATLAB struct."""
    array = np.empty((1, 1), dtype=[(name, object) for name in fields])
    for name, value in fields.items():
        array[0, 0][name] = value
    return array


def struct_array(members: list[np.ndarray]) -> np.ndarray:
    """A 1 x n MATLAB struct array of structs with the same fields."""
    if not members:
        return np.zeros((0, 0))
    return np.concatenate(members, axis=1)


def upt_hico_det() -> dict:
    pair = {"boxes_h": [[1, 1, 5, 5]], "boxes_o": [[2, 2, 6, 6]]}
    pair |= {"hoi": [18], "object": [9], "verb": [76]}
    head = {"correspondence": [], "filenames": ["HICO_test2015_00000001.jpg"], "size": [[8, 6]]}
    return head | {"annotation": [pair]}


def mpii() -> dict:
    return {"activities": ["a", "b"], "images": [{"file_name": "012.jpg", "activity": 1}]}
