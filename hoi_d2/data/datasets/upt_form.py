"""Reads the file format of UPT, PViC, SCG, ADA-CM and EZ-HOI: parallel lists per image.

HICO-DET: `annotation` with `boxes_h, boxes_o` (1-based, inclusive), `hoi, object, verb` (0-based,
objects in HICO's alphabetical order), `filenames`, `size`, `correspondence`.
V-COCO: `annotations` with `boxes_h, boxes_o` (COCO's continuous boxes), `actions` (into `classes`),
`objects` (1..80; 0 is background). It has visible objects only, and no `point`.
"""

from __future__ import annotations

from collections.abc import Iterator

from hoi_d2.data.datasets.checks import check_record
from hoi_d2.data.datasets.records import (
    DataFormatError,
    Findings,
    entity,
    image_head,
    number_in_name,
)
from hoi_d2.data.vocabulary import (
    Vocabulary,
    coco_objects,
    hico_det_vocabulary,
    hico_object_order,
    vcoco_vocabulary,
)


class EntityTable:
    """Collects entities from boxes that the file repeats for each interaction.

    The same box of the same class is one entity. `fields` names the first field of each.
    """

    def __init__(self) -> None:
        self.rows: dict[tuple, int] = {}
        self.fields: list[str] = []

    def row(self, category_id: int, box: tuple[float, ...], field: str) -> int:
        """Returns the index of an entity; it is added if it is new."""
        row = self.rows.setdefault((category_id, *box), len(self.rows))
        if row == len(self.fields):
            self.fields.append(field)
        return row

    def entities(self) -> list[dict]:
        """Returns the entities in the order of their indices."""
        return [entity(key[1:], key[0]) for key in self.rows]


def read_upt_hico_det(data: dict, findings: Findings, root: str) -> list[dict]:
    """Dataset dicts from HICO-DET's file of this form."""
    names = findings.list_of(data["filenames"], str, "filenames")
    annotations = findings.list_of(data.get("annotation"), dict, "annotation")
    sizes = findings.list_of(data.get("size", []), list, "size")
    if len(annotations) != len(names) or (sizes and len(sizes) != len(names)):
        lengths = [len(names), len(annotations), len(sizes)]
        findings.add("filenames, annotation, size", lengths, "lists of the same length")
        raise DataFormatError(findings.problems)
    _check_order(data, findings)
    records = []
    for index, (name, raw) in enumerate(zip(names, annotations)):
        record = _head(findings, name, index, root)
        if record is None:
            continue
        if sizes:
            width, height = (sizes[index] + [None, None])[:2]
            size = findings.size(width, height, "size")
            if size:
                record["width"], record["height"] = size
        records.append(_add(record, findings, _hico_det_pairs(raw, findings)))
    return records


def read_upt_vcoco(data: dict, findings: Findings, root: str) -> list[dict]:
    """Dataset dicts from V-COCO's file of this form."""
    verb_of, records = _vcoco_verbs(data, findings), []
    objects = ["background", *coco_objects()]
    if data.get("objects", objects) != objects:
        findings.add("objects", data["objects"], "background and COCO's 80 objects in their order")
    members = findings.list_of(data.get("annotations"), dict, "annotations")
    for index, raw in enumerate(members):
        record = _head(findings, raw.get("file_name"), index, root)
        if record is not None:
            records.append(_add(record, findings, _vcoco_pairs(raw, findings, verb_of)))
    return records


def _head(findings: Findings, name: object, index: int, root: str) -> dict | None:
    findings.record = f"record {index} ({name})" if isinstance(name, str) else f"record {index}"
    if findings.name(name, "file name") is None:
        return None
    image_id = number_in_name(str(name))
    if image_id is None:
        findings.add("file name", name, "a file name that ends in a number")
        return None
    return image_head(root, str(name), image_id)


# Human class and box, object class and box, verb, HOI, and the index in the lists.
_Pair = tuple[int, tuple, int, tuple, int, int, int]


def _add(record: dict, findings: Findings, found: Iterator[_Pair]) -> dict:
    """Fills in the entities and interactions of a record."""
    table, pairs, fields = EntityTable(), [], []
    for person, box_h, category, box_o, verb, hoi, i in found:
        human = table.row(person, box_h, f"boxes_h[{i}]")
        target = table.row(category, box_o, f"boxes_o[{i}]")
        pairs.append({"human": human, "object": target, "verb": verb, "hoi": hoi})
        fields.append(f"interaction {i}")
    record |= {"annotations": table.entities(), "hoi_annotations": pairs}
    if findings.strict:
        check_record(record, findings, table.fields, fields)
    return record


def _columns(raw: dict, keys: tuple[str, ...], findings: Findings) -> list[list]:
    columns = [findings.list_of(raw.get(k), object, k) for k in keys]
    if len({len(c) for c in columns}) > 1:
        findings.add(", ".join(keys), [len(c) for c in columns], "lists of the same length")
        return [[] for _ in keys]
    return columns


def _check_order(data: dict, findings: Findings) -> None:
    """Notes an error if object and verb ids are not positions in HICO's alphabetical lists."""
    vocabulary = hico_det_vocabulary()
    objects = [vocabulary.objects[i].replace(" ", "_") for i in hico_object_order()]
    for key, expected in (("objects", objects), ("verbs", list(vocabulary.verbs))):
        names = data.get(key, expected)
        if not isinstance(names, list) or [str(n).replace(" ", "_") for n in names] != expected:
            findings.add(key, names, f"HICO's {len(expected)} {key} in alphabetical order")
    if findings.strict:  # not used here, but by the code bases of this form
        order = hico_object_order()
        _check_classes(data["correspondence"], [int(o) for o in order], findings)


def _check_classes(written: object, object_of: list[int], findings: Findings) -> None:
    """Notes the rows of `correspondence` that are not HICO's [HOI, object, verb]."""
    rows = findings.list_of(written, object, "correspondence")
    hois = hico_det_vocabulary().hois.tolist()
    expected = [[i, object_of.index(o), v] for i, (o, v) in enumerate(hois)]
    if rows and len(rows) != len(expected):
        findings.add("correspondence", len(rows), f"HICO's {len(expected)} HOIs", level="flaw")
    for i, (row, right) in enumerate(zip(rows, expected)):
        if row != right or {type(v) for v in row} != {int}:
            findings.add(f"correspondence[{i}]", row, f"{right}, HICO's HOI {i}", level="flaw")


def _hico_det_pairs(raw: dict, findings: Findings) -> Iterator[_Pair]:
    vocabulary, order = hico_det_vocabulary(), hico_object_order()
    columns = _columns(raw, ("boxes_h", "boxes_o", "hoi", "object", "verb"), findings)
    for i, (box_h, box_o, hoi, obj, verb) in enumerate(zip(*columns)):
        box_h = findings.box(box_h, f"boxes_h[{i}]")
        box_o = findings.box(box_o, f"boxes_o[{i}]")
        hoi = findings.integer(hoi, 0, len(vocabulary.hois), f"hoi[{i}]", "an HOI id")
        obj = findings.integer(obj, 0, len(order), f"object[{i}]", "an object id")
        verb = findings.integer(verb, 0, len(vocabulary.verbs), f"verb[{i}]", "a verb id")
        if hoi is None or obj is None or verb is None or box_h is None or box_o is None:
            continue
        category = int(order[obj])
        if not _is_hoi(hoi, category, verb, findings, i, vocabulary):
            continue
        boxes = [
            (float(b[0] - 1), float(b[1] - 1), float(b[2]), float(b[3])) for b in (box_h, box_o)
        ]
        yield vocabulary.person, boxes[0], category, boxes[1], verb, hoi, i


def _is_hoi(
    hoi: int, category: int, verb: int, findings: Findings, i: int, vocabulary: Vocabulary
) -> bool:
    expected = int(vocabulary.hoi_of[category, verb])
    if hoi == expected:
        return True
    name = f"{vocabulary.verbs[verb]} {vocabulary.objects[category]}"
    what = f"{expected}, the id of {name}" if expected >= 0 else f"an HOI; {name} is none"
    findings.add(f"hoi[{i}]", hoi, what)
    return False


def _vcoco_verbs(data: dict, findings: Findings) -> list[int]:
    """Returns the verb id of each of the file's `classes`; `hold obj` is our `hold_obj`."""
    verbs = vcoco_vocabulary().verbs
    names = [n.replace(" ", "_") for n in findings.list_of(data.get("classes"), str, "classes")]
    unknown = [n for n in names if n not in verbs]
    if unknown:
        findings.add("classes", unknown, "V-COCO's action-roles, such as `hold obj`")
        raise DataFormatError(findings.problems)
    return [verbs.index(n) for n in names]


def _vcoco_pairs(raw: dict, findings: Findings, verb_of: list[int]) -> Iterator[_Pair]:
    columns = _columns(raw, ("boxes_h", "boxes_o", "actions", "objects"), findings)
    for i, (box_h, box_o, action, obj) in enumerate(zip(*columns)):
        box_h = findings.box(box_h, f"boxes_h[{i}]")
        box_o = findings.box(box_o, f"boxes_o[{i}]")
        action = findings.integer(action, 0, len(verb_of), f"actions[{i}]", "an action id")
        obj = findings.integer(obj, 1, 81, f"objects[{i}]", "an object id (0 is background)")
        if action is None or obj is None or box_h is None or box_o is None:
            continue
        boxes = tuple(map(float, box_h)), tuple(map(float, box_o))
        yield 0, boxes[0], obj - 1, boxes[1], verb_of[action], -1, i
