"""Reads stored boxes for a detector: COCO's results, or COCO's annotations.

[{"image_id", "category_id", "bbox": [x, y, w, h], "score"}]
{"images": [{"id"}], "annotations": [the same, score optional], "categories": [{"id", "name"}]}
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hoi_d2.data.datasets.odgt_form import xywh_box
from hoi_d2.data.datasets.records import Findings, file_problem, read_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detection:
    """One box.

    Args:
        image: the image id, as text.
        category_id: as in the file.
        box: XYXY, continuous pixels.
        score: from 0 to 1.
    """

    image: str
    category_id: int
    box: tuple[float, ...]
    score: float


@dataclass(frozen=True)
class Detections:
    """The boxes of a file.

    Args:
        rows: in the file's order, without crowds.
        names: category id -> name; of COCO's results, those that were given.
        images: ids of images that are in the file, with boxes or without.
    """

    rows: list[Detection]
    names: dict[int, str]
    images: list[str]


def read_detections(path: str | os.PathLike, result_names: Mapping[int, str]) -> Detections:
    """Reads a file, with the checks that annotations get.

    Args:
        path: the file.
        result_names: category id -> name for COCO's results, which have no names.

    Raises:
        FileNotFoundError: no such file.
        DataFormatError: records are broken; the message names each of them.
    """
    content, findings = read_json(path), Findings(path)
    if isinstance(content, list):
        rows = _rows(content, "row", dict(result_names), findings)
        found = Detections(rows, dict(result_names), [])
    elif isinstance(content, dict) and {"annotations", "categories"} <= content.keys():
        names = _names(content, findings)
        members = content["annotations"]
        if isinstance(members, list):
            members = [a for a in members if not (isinstance(a, dict) and a.get("iscrowd") == 1)]
        rows = _rows(members, "annotations", names, findings)
        found = Detections(rows, names, _images(content, findings))
    else:
        what = "a list of COCO results, or an object with COCO's annotations and categories"
        shown = list(content)[:6] if isinstance(content, dict) else type(content).__name__
        raise file_problem(path, "content", shown, what)
    findings.raise_errors()
    if found.rows and all(max(row.box) <= 1 for row in found.rows):
        logger.warning("%s: all boxes lie in 0..1; boxes are [x, y, w, h] in pixels", path)
    return found


def _names(content: dict, findings: Findings) -> dict[int, str]:
    names: dict[int, str] = {}
    for i, raw in enumerate(findings.list_of(content["categories"], dict, "categories")):
        ident, name = raw.get("id"), raw.get("name")
        if type(ident) is not int or ident in names:
            findings.add(f"categories[{i}].id", ident, "a unique integer")
        elif not isinstance(name, str) or not name.strip():
            findings.add(f"categories[{i}].name", name, "a name")
        else:
            names[ident] = name
    return names


def _images(content: dict, findings: Findings) -> list[str]:
    members = findings.list_of(content.get("images", []), dict, "images")
    found = [_image(raw.get("id"), f"images[{i}].id", findings) for i, raw in enumerate(members)]
    return [image for image in found if image is not None]


def _image(value: Any, field: str, findings: Findings) -> str | None:
    if type(value) in (int, str):
        return str(value)
    findings.add(field, value, "an image id")
    return None


def _rows(members: Any, name: str, names: Mapping, findings: Findings) -> list[Detection]:
    rows = []
    for i, raw in enumerate(findings.list_of(members, dict, name)):
        findings.record = f"{name} {i}" if name == "row" else f"{name}[{i}]"
        image = _image(raw.get("image_id"), "image_id", findings)
        category = raw.get("category_id")
        if type(category) is not int or category not in names:
            findings.add("category_id", category, "a known category_id")
            category = None
        box, score = xywh_box(raw.get("bbox"), findings, "bbox"), raw.get("score", 1.0)
        if type(score) not in (int, float) or not 0 <= score <= 1:  # also false for NaN
            findings.add("score", score, "a number from 0 to 1")
            continue
        if image is not None and category is not None and box is not None:
            rows.append(Detection(image, category, box, float(score)))
    findings.record = ""
    return rows
