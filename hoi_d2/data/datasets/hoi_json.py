"""Loads own data: COCO's JSON with verbs and interactions (described in datasets/README.md).

    {"images":          [{"id", "file_name", "width", "height", "ignore_exif" (optional)}],
     "categories":      [{"id", "name"}],                    one of them is "person"
     "annotations":     [{"id", "image_id", "category_id", "bbox": [x, y, w, h]}],
     "verb_categories": [{"id", "name", "name_ing" (optional)}],
     "hoi_annotations": [{"id", "image_id", "human_annotation_id",
                          "object_annotation_id" or null, "verb_id"}],
     "hoi_categories":  [{"id", "category_id", "verb_id"}]}  optional

Ids are any integers; inside the project they become 0, 1, ... in ascending order. If all categories
have names of COCO's objects, they get COCO's order instead, so that detectors trained on COCO can
be used. Without `hoi_categories` every verb is possible with every category, so that a training and
a validation file with the same categories have the same HOI classes.
"""

from __future__ import annotations

import os
from typing import Any

from hoi_d2.data.datasets.checks import check_record
from hoi_d2.data.datasets.forms import PLAIN_COCO_TEXT, is_plain_coco
from hoi_d2.data.datasets.hoi_json_classes import PERSON, HOIClasses, lookup, new_id
from hoi_d2.data.datasets.odgt_form import xywh_box
from hoi_d2.data.datasets.records import (
    NO_OBJECT,
    Findings,
    cached,
    entity,
    file_problem,
    paused_gc,
    read_json,
)
from hoi_d2.data.vocabulary import Vocabulary

_BROKEN = (0, -9)  # place of a reported annotation; what refers to it is not reported again


def load_hoi_json(json_file: str | os.PathLike, image_root: str | os.PathLike = "") -> list[dict]:
    """Loads a file in the project's own JSON as dataset dicts.

    Args:
        json_file: the path of the file.
        image_root: the folder of the images; it is put before every file name.

    Returns:
        One dict per image, with or without interactions, in the file's order.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: records are broken; the message names each of them.
    """
    file, root = os.fspath(json_file), os.fspath(image_root)
    if not os.path.isfile(file):
        raise FileNotFoundError(f"no such annotation file: {file}")

    def load() -> list[dict]:
        findings = Findings(file)
        records = read_hoi_json(findings, root)
        findings.raise_errors()
        return records

    return cached(load, ("hoi_json", os.path.abspath(file), root), [file])


def read_vocabulary(json_file: str | os.PathLike) -> Vocabulary:
    """Reads the objects, verbs and HOI classes of a file of own data.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: the classes are not valid.
    """
    findings = Findings(json_file)
    data = _read(findings)
    vocabulary = HOIClasses(data, findings).vocabulary
    findings.raise_errors()
    return vocabulary


def read_hoi_json(findings: Findings, image_root: str) -> list[dict]:
    """Like `load_hoi_json`, but notes problems in `findings` and returns the valid records."""
    data = _read(findings)
    with paused_gc():
        classes = HOIClasses(data, findings)
        images = _read_images(data, findings, image_root)
        places = _read_entities(data, findings, images, classes)
        fields = _read_pairs(data, findings, images, places, classes)
        if findings.strict:
            _check(findings, images, places, fields)
    findings.record = ""
    return list(images.values())


def _check(
    findings: Findings,
    images: dict[int, dict],
    places: dict[int, tuple[int, int]],
    fields: dict[int, list[str]],
) -> None:
    boxes: dict[int, list[str]] = {i: [] for i in images}
    for ident, (image_id, row) in places.items():
        if row != _BROKEN[1]:
            boxes[image_id].append(f"bbox of annotation {ident}")
    for image_id, image in images.items():
        findings.record = f"image {image_id} ({image['file_name']})"
        check_record(image, findings, boxes[image_id], fields[image_id])


def is_hoi_json(data: Any) -> bool:
    """Returns whether data are an object with `hoi_annotations` or `verb_categories`."""
    return isinstance(data, dict) and bool({"hoi_annotations", "verb_categories"} & data.keys())


def _read(findings: Findings) -> dict:
    data = read_json(findings.file)
    if not is_hoi_json(data):
        found = list(data)[:6] if isinstance(data, dict) else type(data).__name__
        what = "an object with images, annotations, categories, verb_categories, hoi_annotations"
        what = PLAIN_COCO_TEXT if is_plain_coco(data) else what
        raise file_problem(findings.file, "content", found, what)
    return data


def _read_images(data: dict, findings: Findings, root: str) -> dict[int, dict]:
    images: dict[int, dict] = {}
    seen: set[int] = set()
    names: set[str | None] = set()
    for i, raw in enumerate(findings.list_of(data.get("images"), dict, "images")):
        findings.record = f"images[{i}]"
        ident, name = new_id(raw, seen, findings), findings.name(raw.get("file_name"), "file_name")
        if name in names:
            findings.add("file_name", name, "a unique file name")
        if ident is None or name is None:
            continue
        names.add(name)
        image: dict[str, Any] = {"file_name": os.path.join(root, name), "image_id": ident}
        if "width" in raw or "height" in raw:
            size = findings.size(raw.get("width"), raw.get("height"), "width, height")
            if size:
                image["width"], image["height"] = size
        if raw.get("ignore_exif") is True:
            image["ignore_exif"] = True
        images[ident] = image | {"annotations": [], "hoi_annotations": []}
    return images


def _read_entities(
    data: dict, findings: Findings, images: dict[int, dict], classes: HOIClasses
) -> dict[int, tuple[int, int]]:
    """Adds the entities to the images; returns annotation id -> (image id, entity index)."""
    places: dict[int, tuple[int, int]] = {}
    seen: set[int] = set()
    for i, raw in enumerate(findings.list_of(data.get("annotations"), dict, "annotations")):
        findings.record = f"annotations[{i}]"
        ident = new_id(raw, seen, findings)
        image = lookup(raw, "image_id", images, findings, "the id of an image")
        category = lookup(raw, "category_id", classes.object_of, findings, "the id of a category")
        box = xywh_box(raw.get("bbox"), findings, "bbox")
        if ident is None or image is None or category is None or box is None:
            if ident is not None:
                places[ident] = _BROKEN
            continue
        crowd = 1 if raw.get("iscrowd") == 1 else 0
        places[ident] = image["image_id"], len(image["annotations"])
        image["annotations"].append(entity(box, category, crowd))
        _check_inside(box, raw.get("bbox"), image, findings)
        _check_area(box, raw.get("area"), findings) if findings.strict else None
    return places


def _check_inside(box: tuple, written: Any, image: dict, findings: Findings) -> None:
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        findings.add("bbox", written, "[x, y, w, h] with w > 0 and h > 0")
    elif x1 <= 0 or y1 <= 0 or x0 >= image.get("width", x1) or y0 >= image.get("height", y1):
        size = f"{image.get('width')} x {image.get('height')}"
        findings.add("bbox", written, f"a box in the image, which is {size}")


def _check_area(box: tuple, area: Any, findings: Findings) -> None:
    """Notes an area that is larger than the box; it may be smaller, that of a mask."""
    inside = (box[2] - box[0]) * (box[3] - box[1])
    if type(area) in (int, float) and area > 1.2 * inside + 2:
        what = f"at most that of the box [x, y, w, h], {inside:g}"
        findings.add("area", area, what, level="flaw")


def _read_pairs(
    data: dict,
    findings: Findings,
    images: dict[int, dict],
    places: dict[int, tuple[int, int]],
    classes: HOIClasses,
) -> dict[int, list[str]]:
    """Adds the interactions to the images; returns image id -> the place of each in the file."""
    seen: set[int] = set()
    fields: dict[int, list[str]] = {i: [] for i in images}
    findings.record = ""
    members = findings.list_of(data.get("hoi_annotations"), dict, "hoi_annotations")
    for i, raw in enumerate(members):
        findings.record = f"hoi_annotations[{i}]"
        new_id(raw, seen, findings) if "id" in raw else None
        image = lookup(raw, "image_id", images, findings, "the id of an image")
        verb = lookup(raw, "verb_id", classes.verb_of, findings, "the id of a verb category")
        if image is None:
            continue
        human = _row(raw, "human_annotation_id", image, places, findings)
        obj: int | None = NO_OBJECT
        if raw.get("object_annotation_id") is not None:
            obj = _row(raw, "object_annotation_id", image, places, findings)
        elif "object_annotation_id" not in raw:
            findings.add("object_annotation_id", None, "the id of an annotation, or null = none")
        if human is None or obj is None or verb is None or _BROKEN[1] in (human, obj):
            continue
        if _add_pair(image, human, obj, verb, findings, classes.vocabulary):
            fields[image["image_id"]].append(findings.record)
    return fields


def _row(
    raw: dict, key: str, image: dict, places: dict[int, tuple[int, int]], findings: Findings
) -> int | None:
    value, image_id = raw.get(key), image["image_id"]
    where = places.get(value) if type(value) is int else None
    if where is None or (where is not _BROKEN and where[0] != image_id):
        findings.add(key, value, f"the id of an annotation of image {image_id}")
        return None
    return where[1]


def _add_pair(
    image: dict, human: int, obj: int, verb: int, findings: Findings, vocabulary: Vocabulary
) -> bool:
    entities, hoi = image["annotations"], -1
    category = entities[human]["category_id"]
    if category != vocabulary.person:
        name = vocabulary.objects[category]
        findings.add("human_annotation_id", name, f"an annotation of the category {PERSON!r}")
        return False
    if obj == human:
        findings.add("object_annotation_id", obj, "an annotation other than the human's")
        return False
    if obj != NO_OBJECT:
        target = entities[obj]["category_id"]
        hoi = int(vocabulary.hoi_of[target, verb])
        if hoi < 0:
            name = f"{vocabulary.verbs[verb]} {vocabulary.objects[target]}"
            findings.add("verb_id", name, "a combination that hoi_categories lists")
            return False
    image["hoi_annotations"].append({"human": human, "object": obj, "verb": verb, "hoi": hoi})
    return True


def occurring_hois(records: list[dict]) -> list[int]:
    """Returns the ids of the HOI classes that occur in dataset dicts, ascending."""
    return sorted({p["hoi"] for r in records for p in r["hoi_annotations"] if p["hoi"] >= 0})
