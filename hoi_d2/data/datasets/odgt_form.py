"""Reads HoiTransformer's format of V-COCO: one JSON object per line, with sizes and XYWH boxes.

{"file_name", "width", "height", "gtboxes": [{"box": [x, y, w, h], "tag": COCO's name}],
 "hoi": [{"subject_id", "object_id", "category_id": verb in PPDM's order}]}
"""

from __future__ import annotations

import json

from hoi_d2.data.datasets.checks import check_record
from hoi_d2.data.datasets.records import (
    NO_OBJECT,
    DataFormatError,
    Findings,
    entity,
    image_head,
    number_in_name,
    parse_json,
)
from hoi_d2.data.vocabulary import coco_objects, vcoco_vocabulary

PPDM_VERBS = (
    "surf_instr ski_instr cut_instr walk cut_obj ride_instr talk_on_phone_instr kick_obj "
    "work_on_computer_instr eat_obj sit_instr jump_instr lay_instr drink_instr carry_obj "
    "throw_obj eat_instr smile look_obj hit_instr hit_obj snowboard_instr run point_instr "
    "read_obj hold_obj skateboard_instr stand catch_obj"
).split()


def is_odgt(text: str) -> bool:
    """Whether one of the first lines is a JSON object with `gtboxes`."""
    lines = text.lstrip().split("\n", 5)[:5]  # several, because the first one may be broken
    return any(_is_image(line) for line in lines if '"gtboxes"' in line)


def _is_image(line: str) -> bool:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "gtboxes" in value


def read_odgt(text: str, findings: Findings, root: str) -> list[dict]:
    """Dataset dicts from the text of a file."""
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        findings.record = f"line {number}"
        try:
            raw = parse_json(line, findings.file, record=findings.record)
        except DataFormatError as error:
            findings.problems += error.problems
            continue
        if not isinstance(raw, dict):
            findings.add("", raw, "an object with file_name, gtboxes, hoi")
            continue
        name = findings.name(raw.get("file_name"), "file_name")
        image_id = number_in_name(name or "")
        if image_id is None:
            if name is not None:
                findings.add("file_name", name, "a COCO file name, which ends in the image id")
            continue
        findings.record = f"line {number} ({name})"
        records.append(_read_image(raw, findings, image_head(root, str(name), image_id)))
    return records


def _read_image(raw: dict, findings: Findings, record: dict) -> dict:
    size = findings.size(raw.get("width"), raw.get("height"), "width, height")
    if size:
        record["width"], record["height"] = size
    class_of, entities = {name: i for i, name in enumerate(coco_objects())}, []
    for i, item in enumerate(findings.list_of(raw.get("gtboxes"), dict, "gtboxes")):
        box, tag = xywh_box(item.get("box"), findings, f"gtboxes[{i}].box"), item.get("tag")
        if not isinstance(tag, str) or tag not in class_of:
            findings.add(f"gtboxes[{i}].tag", tag, "a COCO object name")
            tag = None
        entities.append(entity(box or (), class_of.get(tag)))
    pairs, fields = _read_pairs(raw, findings, entities)
    record |= {"annotations": entities, "hoi_annotations": pairs}
    if findings.strict:
        boxes = [f"gtboxes[{i}].box" for i in range(len(entities))]
        check_record(record, findings, boxes, fields)
    return record


def _read_pairs(
    raw: dict, findings: Findings, entities: list[dict]
) -> tuple[list[dict], list[str]]:
    pairs, fields, count = [], [], len(entities)
    verbs, where = vcoco_vocabulary().verbs, "an index into gtboxes"
    for i, item in enumerate(findings.list_of(raw.get("hoi"), dict, "hoi")):
        at = f"hoi[{i}]"
        human = findings.integer(item.get("subject_id"), 0, count, f"{at}.subject_id", where)
        obj = item.get("object_id")
        obj = findings.integer(obj, NO_OBJECT, count, f"{at}.object_id", f"{where}, -1 = none")
        verb = item.get("category_id")
        verb = findings.integer(verb, 0, len(PPDM_VERBS), f"{at}.category_id", "a verb id")
        if human is None or obj is None or verb is None:
            continue
        if entities[human]["category_id"]:  # None was reported, 0 is a person
            name = coco_objects()[entities[human]["category_id"]]
            findings.add(f"{at}.subject_id", human, f"the index of a person; this is a {name}")
            continue
        verb = verbs.index(PPDM_VERBS[verb])
        pairs.append({"human": human, "object": obj, "verb": verb, "hoi": -1})
        fields.append(at)
    return pairs, fields


def xywh_box(value: object, findings: Findings, field: str) -> tuple[float, ...] | None:
    """Converts a COCO box [x, y, w, h] to XYXY; COCO has a few with w or h = 0."""
    if isinstance(value, list) and len(value) == 4 and {type(v) for v in value} <= {int, float}:
        x, y, w, h = value
        if abs(x) <= 1e6 and abs(y) <= 1e6 and 0 <= w <= 1e6 and 0 <= h <= 1e6:
            return float(x), float(y), float(x + w), float(y + h)
    findings.add(field, value, "[x, y, w, h], finite numbers with w >= 0 and h >= 0")
    return None
