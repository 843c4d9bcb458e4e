"""Reads the file format of PPDM, QPIC, CDN and GEN-VLKT: a list of images.

    [{"file_name", "img_id", "annotations": [{"bbox": XYXY, "category_id": COCO's}],
      "hoi_annotation": [{"subject_id", "object_id", "category_id", "hoi_category_id"}]}]

HICO-DET and V-COCO are both published in it.
Subject and object are indices into `annotations`. HICO-DET: inclusive boxes, verbs 1..117, HOIs
1..600; the training file counts pixels from 0, the test file from 1 and without `img_id` and
`hoi_category_id`. V-COCO: continuous boxes, verbs 0..28 in the official order, object -1 = none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from hoi_d2.data.datasets.checks import check_record
from hoi_d2.data.datasets.forms import dataset_of
from hoi_d2.data.datasets.records import (
    ID_LIMIT,
    NO_OBJECT,
    Findings,
    entity,
    image_head,
    number_in_name,
)
from hoi_d2.data.vocabulary import (
    Vocabulary,
    hico_det_vocabulary,
    object_of_coco_id,
    vcoco_vocabulary,
)


@dataclass(frozen=True)
class _Dialect:
    """The differences between the two datasets' files of this form.

    Args:
        vocabulary: the vocabulary of the dataset.
        shifts: the numbers added to (x0, y0) and to (x1, y1), for continuous and 0-based boxes.
        first_verb: the smallest verb number.
        first_object: the smallest object index; -1 if the object may be missing.
        duplicates: the level of a repeated interaction.
    """

    vocabulary: Vocabulary
    shifts: tuple[int, int]
    first_verb: int
    first_object: int
    duplicates: str = "flaw"


def read_qpic_hico_det(
    data: list, findings: Findings, root: str, *, one_based: bool | None
) -> list[dict]:
    """Dataset dicts from HICO-DET's files of this form; `one_based` None = by content."""
    if one_based is None:
        one_based = counts_from_one(data)
    # The training file has 119 duplicates, because near-identical boxes were merged.
    duplicates = "flaw" if one_based else "note"
    shifts = (-1, 0) if one_based else (0, 1)
    return _read(data, findings, root, _Dialect(hico_det_vocabulary(), shifts, 1, 0, duplicates))


def read_qpic_vcoco(data: list, findings: Findings, root: str) -> list[dict]:
    """Dataset dicts from V-COCO's files of this form."""
    return _read(data, findings, root, _Dialect(vcoco_vocabulary(), (0, 0), 0, NO_OBJECT))


def counts_from_one(data: list) -> bool:
    """Returns whether the boxes of a HICO-DET file are 1-based.

    Those of the test file are, those of the training file are not. The smallest coordinate, 0 or 1,
    shows which. If part of a file has neither, `hoi_category_id` does, which only the training file
    has.
    """
    boxes = (item.get("bbox") for r in data for item in _members(r, "annotations"))
    corners = (b[:2] for b in boxes if isinstance(b, list) and len(b) == 4)
    smallest = min((v for c in corners for v in c if type(v) in (int, float)), default=None)
    if smallest is not None and smallest <= 1:
        return smallest == 1
    first = next((p for r in data for p in _members(r, "hoi_annotation")), None)
    return first is not None and "hoi_category_id" not in first


def _members(record: Any, key: str) -> list[dict]:
    """Returns the objects in a list of a record; empty if the record is broken."""
    value = record.get(key) if isinstance(record, dict) else None
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _read(data: list, findings: Findings, root: str, dialect: _Dialect) -> list[dict]:
    records = []
    for index, raw in enumerate(data):
        findings.record = f"record {index}"
        if not isinstance(raw, dict):
            findings.add("", raw, "an object with file_name, annotations, hoi_annotation")
            continue
        record = _head(raw, findings, index, root)
        if record is None:
            continue
        entities = _entities(raw, findings, dialect.shifts)
        pairs, fields = _pairs(raw, findings, entities, dialect)
        record |= {"annotations": entities, "hoi_annotations": pairs}
        records.append(record)
        if findings.strict:
            boxes = [f"annotations[{i}].bbox" for i in range(len(entities))]
            check_record(record, findings, boxes, fields, duplicates=dialect.duplicates)
    return records


def _head(raw: dict, findings: Findings, index: int, root: str) -> dict | None:
    """File name, id and size of a record; None if the name or id is missing."""
    name = findings.name(raw.get("file_name"), "file_name")
    if name is None:
        return None
    findings.record = f"record {index} ({name})"
    image_id = raw.get("img_id", number_in_name(name))
    if type(image_id) is not int or abs(image_id) >= ID_LIMIT:
        field = "img_id" if "img_id" in raw else "file_name"
        findings.add(field, raw.get(field), "an integer img_id, or a file name that ends in one")
        return None
    number = number_in_name(name)
    if findings.strict and dataset_of([name]) and number not in (None, image_id):
        what = f"{number}, the number in the file name"
        findings.add("img_id", image_id, what, level="flaw")
    record = image_head(root, os.fspath(name), image_id)
    if "width" in raw or "height" in raw:
        size = findings.size(raw.get("width"), raw.get("height"), "width, height")
        if size:
            record["width"], record["height"] = size
    return record


def _entities(raw: dict, findings: Findings, shifts: tuple[int, int]) -> list[dict]:
    """One entity for each member of `annotations`; a broken one has class None."""
    entities, object_of = [], object_of_coco_id()
    low, high = shifts
    for i, item in enumerate(findings.list_of(raw.get("annotations"), dict, "annotations")):
        box = findings.box(item.get("bbox"), f"annotations[{i}].bbox")
        coco_id = item.get("category_id")
        object_id = object_of.get(coco_id) if type(coco_id) is int else None
        if object_id is None:
            field = f"annotations[{i}].category_id"
            findings.add(field, coco_id, "a COCO category id (1..90, 80 of them)")
        if box is None:
            entities.append(entity((), None))
            continue
        x0, y0, x1, y1 = box
        shifted = (float(x0 + low), float(y0 + low), float(x1 + high), float(y1 + high))
        entities.append(entity(shifted, object_id))
    return entities


def _pairs(
    raw: dict, findings: Findings, entities: list[dict], dialect: _Dialect
) -> tuple[list[dict], list[str]]:
    """Returns the interactions, and the place of each in the record."""
    pairs, fields, count = [], [], len(entities)
    vocabulary, first = dialect.vocabulary, dialect.first_verb
    verbs, where = len(vocabulary.verbs), "an index into annotations"
    members = findings.list_of(raw.get("hoi_annotation"), dict, "hoi_annotation")
    for i, item in enumerate(members):
        at = f"hoi_annotation[{i}]"
        human = findings.integer(item.get("subject_id"), 0, count, f"{at}.subject_id", where)
        obj = item.get("object_id")
        obj = findings.integer(obj, dialect.first_object, count, f"{at}.object_id", where)
        verb = item.get("category_id")
        verb = findings.integer(verb, first, first + verbs, f"{at}.category_id", "a verb id")
        if human is None or obj is None or verb is None:
            continue
        person = entities[human]["category_id"]
        if person is None:
            continue  # the entity was already reported
        if person != vocabulary.person:
            name = vocabulary.objects[person]
            findings.add(f"{at}.subject_id", human, f"the index of a person; this is a {name}")
            continue
        target = NO_OBJECT if obj == NO_OBJECT else entities[obj]["category_id"]
        if target is None:
            continue
        hoi = _hoi(item, target, verb - first, findings, at, vocabulary)
        pairs.append({"human": human, "object": obj, "verb": verb - first, "hoi": hoi})
        fields.append(at)
    return pairs, fields


def _hoi(
    item: dict, target: int, verb: int, findings: Findings, at: str, vocabulary: Vocabulary
) -> int:
    """Returns the HOI class of an object and verb; notes a problem if the file has another one."""
    if not len(vocabulary.hois):
        return -1
    hoi = int(vocabulary.hoi_of[target, verb])
    written = item.get("hoi_category_id", hoi + 1)
    if hoi >= 0 and written == hoi + 1 and type(written) is int:
        return hoi
    name = f"{vocabulary.verbs[verb]} {vocabulary.objects[target]}"
    if hoi < 0:
        number = len(vocabulary.hois)
        findings.add(f"{at}.category_id", verb + 1, f"one of {number} HOIs; {name} is none")
    else:
        findings.add(f"{at}.hoi_category_id", written, f"{hoi + 1}, the id of {name}")
    return hoi
