"""What everything that loads may rely on."""

from __future__ import annotations

import json
import math
from typing import Any

from hoi_d2.data.dataset import Dataset


def check_dataset(dataset: Dataset) -> None:
    """The contract of dataset dicts (docs/conventions.md)."""
    vocabulary = dataset.vocabulary
    for record in dataset.records:
        assert isinstance(record["file_name"], str)
        assert type(record["image_id"]) is int
        assert ("width" in record) == ("height" in record)
        for entity in record["annotations"]:
            _check_box(entity["bbox"])
            assert entity["category_id"] in range(len(vocabulary.objects))
        for pair in record["hoi_annotations"]:
            human = record["annotations"][pair["human"]]
            assert human["category_id"] == vocabulary.person
            assert pair["object"] in range(-1, len(record["annotations"]))
            assert pair["verb"] in range(len(vocabulary.verbs))
            if pair["hoi"] >= 0:
                target = record["annotations"][pair["object"]]["category_id"]
                assert list(vocabulary.hois[pair["hoi"]]) == [target, pair["verb"]]


def _check_box(box: Any) -> None:
    x0, y0, x1, y1 = box
    assert x0 <= x1
    assert y0 <= y1
    assert all(math.isfinite(v) for v in box)


def interactions_in(text: str) -> int:
    """How many interactions a file that loads holds, counted without the loaders."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError:  # one record a line
        return sum(len(json.loads(line)["hoi"]) for line in text.splitlines() if line.strip())
    if isinstance(data, list):
        return sum(map(_in_record, data))
    if "activities" in data:
        return 0
    if "hoi" in data:
        return len(data["hoi"])
    if "hoi_annotations" in data:
        return len(data["hoi_annotations"])
    images = data["annotation" if "annotation" in data else "annotations"]
    return sum(len(r["boxes_h"]) for r in images)


def _in_record(record: dict) -> int:
    """Of a record of QPIC's form, or of an action of the official labels."""
    if "hoi_annotation" in record:
        return len(record["hoi_annotation"])
    return sum(record["label"]) * max(1, len(record["role_name"]) - 1)
