"""Whose images a list of annotations is about, by the file names that the datasets have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

HICO_DET, VCOCO, HOI_A = "hico_det", "vcoco", "HOI-A"
_NAMES = {
    HICO_DET: re.compile("HICO"),
    VCOCO: re.compile(r"COCO|(?:^|[/\\])\d{12}\.jpg$"),
    HOI_A: re.compile(r"(?:^|[/\\])(?:trainval|test)_\d{6}\.(?:png|jpg)$"),
}
_NOT_READ = "which hoi_d2 does not read; write it as own data (datasets/README.md)"
HOI_A_TEXT = f"HOI-A, with 11 objects and 10 verbs of its own, {_NOT_READ}"
SWIG_TEXT = f"SWiG-HOI, with about 1,000 objects and 406 verbs of its own, {_NOT_READ}"
OWN_TEXT = (
    "names of HICO-DET's or V-COCO's images. This is own data in the form of QPIC or "
    "HoiTransformer, whose numbers have no names: write it as own data (datasets/README.md). If it "
    "is HICO-DET or V-COCO under other names, --format says so"
)


def dataset_of(names: Iterable[Any]) -> str:
    """`hico_det`, `vcoco`, `HOI-A`, or "" for other names."""
    found = [str(name) for name in names]
    for dataset, pattern in _NAMES.items():
        if any(pattern.search(name) for name in found):
            return dataset
    return ""


def names_in_records(data: list) -> list[Any]:
    """Returns the file names of the first records of a list."""
    return [r.get("file_name") for r in data[:50] if isinstance(r, dict)]


def names_in_odgt(text: str) -> list[Any]:
    """Returns the file names of the first lines of an odgt file."""
    return [image_name(record) for record in odgt_lines(text, 50)]


def odgt_lines(text: str, count: int) -> list[dict]:
    """Returns those of the first lines that are objects."""
    found = []
    for line in text.lstrip().split("\n", count)[:count]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def image_name(record: dict) -> Any:
    """Returns the file name of a line of odgt; HICO-DET's has another key."""
    return record.get("file_name", record.get("hico_image_name"))


def is_swig(data: Any) -> bool:
    """Returns whether data are SWiG-HOI's list of images with `box_annotations`."""
    return isinstance(data, list) and any(
        isinstance(r, dict) and "box_annotations" in r for r in data[:50]
    )


def is_plain_coco(data: Any) -> bool:
    """Returns whether data are COCO's boxes, without interactions."""
    return isinstance(data, dict) and {"images", "annotations"} <= data.keys()


PLAIN_COCO_TEXT = (
    "verb_categories and hoi_annotations as well: this is a plain COCO file, with boxes and "
    "without interactions (datasets/README.md, Own data)"
)
