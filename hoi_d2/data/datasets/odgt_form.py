"""Reads HoiTransformer's format: one JSON object per line, with sizes and XYWH boxes.

{"file_name", "width", "height", "gtboxes": [{"box": [x, y, w, h], "tag": COCO's name}],
 "hoi": [{"subject_id", "object_id", "category_id", "interaction": the name of the verb}]}

V-COCO's `category_id` is the verb in PPDM's order, from 0; object -1 = none. HICO-DET's files have
`hico_image_name`, and the verb is given by its name; their `category_id` may count from 1.
Boxes are continuous in V-COCO; those of HICO-DET are read as continuous, which may be a pixel off.
"""

from __future__ import annotations

from hoi_d2.data.datasets.checks import check_record
from hoi_d2.data.datasets.forms import image_name, odgt_lines
from hoi_d2.data.datasets.records import (
    NO_OBJECT,
    DataFormatError,
    Findings,
    entity,
    image_head,
    number_in_name,
    parse_json,
)
from hoi_d2.data.vocabulary import coco_objects, hico_det_vocabulary, vcoco_vocabulary

PPDM_VERBS = (
    "surf_instr ski_instr cut_instr walk cut_obj ride_instr talk_on_phone_instr kick_obj "
    "work_on_computer_instr eat_obj sit_instr jump_instr lay_instr drink_instr carry_obj "
    "throw_obj eat_instr smile look_obj hit_instr hit_obj snowboard_instr run point_instr "
    "read_obj hold_obj skateboard_instr stand catch_obj"
).split()


def is_odgt(text: str) -> bool:
    """Returns whether one of the first lines is a JSON object with `gtboxes`."""
    head = text.lstrip()[:1]  # several lines, because the first one may be broken
    return head == "{" and any("gtboxes" in record for record in odgt_lines(text, 5))


def read_odgt(text: str, findings: Findings, root: str, *, hico_det: bool = False) -> list[dict]:
    """Dataset dicts from the text of a file of V-COCO, or of HICO-DET."""
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
        name = findings.name(image_name(raw), "file_name")
        image_id = number_in_name(name or "")
        if image_id is None:
            if name is not None:
                findings.add("file_name", name, "a file name that ends in the image id")
            continue
        findings.record = f"line {number} ({name})"
        records.append(_read_image(raw, findings, image_head(root, str(name), image_id), hico_det))
    return records


def _read_image(raw: dict, findings: Findings, record: dict, hico_det: bool) -> dict:
    size = findings.size(raw.get("width"), raw.get("height"), "width, height")
    if size:
        record["width"], record["height"] = size
    class_of, entities = {name: i for i, name in enumerate(coco_objects())}, []
    for i, item in enumerate(findings.list_of(raw.get("gtboxes"), dict, "gtboxes")):
        box, tag = xywh_box(item.get("box"), findings, f"gtboxes[{i}].box"), item.get("tag")
        name = tag.replace("_", " ") if isinstance(tag, str) else ""
        if name not in class_of:
            findings.add(f"gtboxes[{i}].tag", tag, "a COCO object name")
        entities.append(entity(box or (), class_of.get(name)))
    pairs, fields = _read_pairs(raw, findings, entities, hico_det)
    record |= {"annotations": entities, "hoi_annotations": pairs}
    if findings.strict:
        boxes = [f"gtboxes[{i}].box" for i in range(len(entities))]
        check_record(record, findings, boxes, fields)
    return record


def _read_pairs(
    raw: dict, findings: Findings, entities: list[dict], hico_det: bool
) -> tuple[list[dict], list[str]]:
    pairs, fields, count, where = [], [], len(entities), "an index into gtboxes"
    first, read_verb = (0, _hico_verb) if hico_det else (NO_OBJECT, _vcoco_verb)
    for i, item in enumerate(findings.list_of(raw.get("hoi"), dict, "hoi")):
        at = f"hoi[{i}]"
        human = findings.integer(item.get("subject_id"), 0, count, f"{at}.subject_id", where)
        obj = item.get("object_id")
        none = "" if hico_det else ", -1 = none"
        obj = findings.integer(obj, first, count, f"{at}.object_id", f"{where}{none}")
        verb = read_verb(item, findings, at)
        if human is None or obj is None or verb is None:
            continue
        if entities[human]["category_id"]:  # None was reported, 0 is a person
            name = coco_objects()[entities[human]["category_id"]]
            findings.add(f"{at}.subject_id", human, f"the index of a person; this is a {name}")
            continue
        hoi = _hico_hoi(entities[obj]["category_id"], verb, findings, at) if hico_det else -1
        if hoi is not None:
            pairs.append({"human": human, "object": obj, "verb": verb, "hoi": hoi})
            fields.append(at)
    return pairs, fields


def _vcoco_verb(item: dict, findings: Findings, at: str) -> int | None:
    number = item.get("category_id")
    number = findings.integer(number, 0, len(PPDM_VERBS), f"{at}.category_id", "a verb id")
    if number is None:
        return None
    name = item.get("interaction", PPDM_VERBS[number])
    if name != PPDM_VERBS[number]:
        what = f"{PPDM_VERBS[number]!r}, the verb of category_id {number}"
        findings.add(f"{at}.interaction", name, what)
        return None
    return vcoco_vocabulary().verbs.index(PPDM_VERBS[number])


def _hico_verb(item: dict, findings: Findings, at: str) -> int | None:
    name, verbs = item.get("interaction"), hico_det_vocabulary().verbs
    plain = name.replace(" ", "_") if isinstance(name, str) else ""
    if plain not in verbs:
        findings.add(f"{at}.interaction", name, "the name of one of HICO's 117 verbs")
        return None
    verb = verbs.index(plain)
    written = item.get("category_id", verb + 1)
    if type(written) is not int or written not in (verb, verb + 1):
        findings.add(f"{at}.category_id", written, f"{verb + 1}, the number of {plain!r}")
        return None
    return verb


def _hico_hoi(category: int | None, verb: int, findings: Findings, at: str) -> int | None:
    """Returns the HOI class of an object and verb; None if there is none."""
    vocabulary = hico_det_vocabulary()
    if category is None:
        return None  # the entity was already reported
    hoi = int(vocabulary.hoi_of[category, verb])
    if hoi < 0:
        name = f"{vocabulary.verbs[verb]} {vocabulary.objects[category]}"
        findings.add(f"{at}.interaction", name, f"one of {len(vocabulary.hois)} HOIs")
        return None
    return hoi


def xywh_box(value: object, findings: Findings, field: str) -> tuple[float, ...] | None:
    """Converts a COCO box [x, y, w, h] to XYXY; COCO has a few with w or h = 0."""
    if isinstance(value, list) and len(value) == 4 and {type(v) for v in value} <= {int, float}:
        x, y, w, h = value
        if abs(x) <= 1e6 and abs(y) <= 1e6 and 0 <= w <= 1e6 and 0 <= h <= 1e6:
            return float(x), float(y), float(x + w), float(y + h)
    findings.add(field, value, "[x, y, w, h], finite numbers with w >= 0 and h >= 0")
    return None
