"""Reads V-COCO's official label files: 26 actions over COCO annotation ids, without boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hoi_d2.data.datasets.checks import check_record
from hoi_d2.data.datasets.odgt_form import xywh_box
from hoi_d2.data.datasets.records import (
    NO_OBJECT,
    Findings,
    entity,
    file_problem,
    image_head,
    read_json,
)
from hoi_d2.data.vocabulary import object_of_coco_id, vcoco_vocabulary

_NEEDS_COCO = (
    "COCO's instances file (coco_annotations=...): the official V-COCO labels hold annotation ids "
    "but no boxes; hoi-d2 data prepare-vcoco makes a file with both"
)
_COLUMNS = ("image_id", "label", "role_object_id")


def read_official(
    data: list, findings: Findings, root: str, coco_files: Sequence[str]
) -> list[dict]:
    """Dataset dicts from official labels and COCO's instances files.

    The images are those in the labels. Their entities are all COCO annotations, with `area`, and
    with `labelled`: whether V-COCO labels this person.
    """
    if coco_files:
        images = _read_coco(coco_files, _labelled_images(data))
    elif findings.strict:
        findings.add("boxes", None, _NEEDS_COCO, level="note")
        images = _images_without_boxes(data)
    else:
        raise file_problem(findings.file, "boxes", None, _NEEDS_COCO)
    for index, action in enumerate(findings.list_of(data, dict, "")):
        findings.record = f"action {index} ({action.get('action_name')})"
        _read_action(action, findings, images)
    findings.record = ""
    if findings.strict:
        _check_complete(data, findings)
    records = []
    for image in images.values():
        rows, fields = image.pop("rows"), image.pop("fields")
        record = image | image_head(root, image["file_name"], image["image_id"])
        records.append(record)
        if findings.strict:
            findings.record = f"image {record['image_id']}"
            check_record(record, findings, [f"COCO annotation {i}: bbox" for i in rows], fields)
    return records


def _check_complete(data: list, findings: Findings) -> None:
    """Notes actions that are missing or occur twice."""
    found = [str(action.get("action_name")) for action in data if isinstance(action, dict)]
    known = {v.removesuffix("_obj").removesuffix("_instr") for v in vcoco_vocabulary().verbs}
    wrong = sorted(name for name in known if found.count(name) != 1)
    if wrong:
        findings.add("action_name", wrong, "each of V-COCO's 26 actions once", level="note")


def _labelled_images(data: list) -> set[int]:
    found: set[int] = set()
    for action in data:
        ids = action.get("image_id") if isinstance(action, dict) else None
        found.update(i for i in ids or () if type(i) is int) if isinstance(ids, list) else None
    return found


def _images_without_boxes(data: list) -> dict[int, dict]:
    """Images like those of `_read_coco`, from the ids in the labels, to check the labels only."""
    images: dict[int, dict] = {}
    for action in data:
        columns = [action.get(k) if isinstance(action, dict) else None for k in _COLUMNS]
        image_ids, _, role_ids = (c if isinstance(c, list) else [] for c in columns)
        for i, annotation_id in enumerate(role_ids if image_ids else ()):
            image_id = image_ids[i % len(image_ids)]
            if type(image_id) is int and type(annotation_id) is int and annotation_id:
                image = images.setdefault(image_id, _new_image(image_id, str(image_id)))
                if annotation_id not in image["rows"]:
                    image["rows"][annotation_id] = len(image["annotations"])
                    person = 0 if i < len(image_ids) else None  # the first column
                    image["annotations"].append(entity((), person))
    return images


def _new_image(image_id: int, file_name: str) -> dict[str, Any]:
    head = {"image_id": image_id, "file_name": file_name}
    return {**head, "annotations": [], "hoi_annotations": [], "rows": {}, "fields": []}


def _read_coco(coco_files: Sequence[str], labelled: set[int]) -> dict[int, dict]:
    """Dataset dicts by image id, from COCO's files.

    Until the labels are read, they also have `rows`, COCO annotation id -> entity index, and
    `fields`, the place of each interaction in the file.
    """
    object_of, images = object_of_coco_id(), {}
    for file in coco_files:
        findings, data = Findings(file), read_json(file)
        if not isinstance(data, dict):
            raise file_problem(file, "content", type(data).__name__, "COCO's instances format")
        for i, raw in enumerate(findings.list_of(data.get("images"), dict, "images")):
            if type(raw.get("id")) is not int:
                findings.add(f"images[{i}].id", raw.get("id"), "an integer")
            elif raw["id"] in labelled:
                images[raw["id"]] = _coco_image(raw, findings, i)
        members = findings.list_of(data.get("annotations"), dict, "annotations")
        for i, raw in enumerate(members):
            image_id = raw.get("image_id")
            image = images.get(image_id) if type(image_id) is int else None
            if image is not None:
                _add_entity(image, raw, findings, f"annotations[{i}]", object_of)
        findings.raise_errors()
    return images


def _coco_image(raw: dict, findings: Findings, index: int) -> dict:
    name = findings.name(raw.get("file_name"), f"images[{index}].file_name")
    image = _new_image(raw["id"], name or "")
    size = findings.size(raw.get("width"), raw.get("height"), f"images[{index}].width, height")
    if size:
        image["width"], image["height"] = size
    return image


def _add_entity(
    image: dict, raw: dict, findings: Findings, at: str, object_of: dict[int, int]
) -> None:
    coco_id, annotation_id = raw.get("category_id"), raw.get("id")
    object_id = object_of.get(coco_id) if type(coco_id) is int else None
    if object_id is None:
        findings.add(f"{at}.category_id", coco_id, "a COCO category id (1..90, 80 of them)")
    if type(annotation_id) is not int or annotation_id in image["rows"]:
        findings.add(f"{at}.id", annotation_id, "an integer of its own")
        return
    box = xywh_box(raw.get("bbox"), findings, f"{at}.bbox")
    image["rows"][annotation_id] = len(image["annotations"])
    crowd = 1 if raw.get("iscrowd") == 1 else 0
    area = raw.get("area", 0.0 if box is None else (box[2] - box[0]) * (box[3] - box[1]))
    if type(area) not in (int, float) or not 0 <= area < math.inf:
        findings.add(f"{at}.area", area, "a number; the official evaluation leaves out area 0")
    # `labelled`: V-COCO has annotated this person; the evaluation ignores all others
    more = {"area": area, "labelled": False}
    image["annotations"].append(entity(box or (), object_id, crowd) | more)


def _read_action(action: dict, findings: Findings, images: dict[int, dict]) -> None:
    """Adds the interactions of one action to its images."""
    image_ids, labels, role_ids = (findings.list_of(action.get(k), object, k) for k in _COLUMNS)
    roles = findings.list_of(action.get("role_name"), str, "role_name")
    if not roles:
        findings.add("role_name", action.get("role_name"), "a list that starts with `agent`")
        return
    count = len(image_ids)
    if not roles or len(labels) != count or len(role_ids) != count * len(roles):
        lengths = [count, len(labels), len(role_ids)]
        what = f"lists of length n, n, n times the {len(roles)} roles (flat, role by role)"
        findings.add(", ".join(_COLUMNS), lengths, what)
        return
    verbs = _verb_ids(action.get("action_name"), roles, findings)
    for i, (image_id, label) in enumerate(zip(image_ids, labels)):
        image = images.get(image_id) if type(image_id) is int else None
        _mark_labelled(image, role_ids[i])
        if type(label) is not int or label not in (0, 1):
            findings.add(f"label[{i}]", label, "0 or 1")
            continue
        if image is None:
            level = "error" if label else "flaw"
            findings.add(f"image_id[{i}]", image_id, "an image of the COCO files", level=level)
            continue
        of_roles = role_ids[i::count]  # role-major: column r starts at r * count
        if label == 1:
            _add_pairs(image, of_roles, verbs, findings, i)
        elif findings.strict:
            _check_unused(image, of_roles, findings, i)
    if findings.strict and "ann_id" in action:
        _check_persons(action["ann_id"], role_ids[:count], findings)


def _check_unused(image: dict, of_roles: list, findings: Findings, index: int) -> None:
    """Notes the ids in an entry with label 0 that are not annotations of the image."""
    for role, annotation_id in enumerate(of_roles):
        none = role > 0 and annotation_id == 0
        if type(annotation_id) is not int or not (none or annotation_id in image["rows"]):
            what = f"an annotation of image {image['image_id']}" + (", 0 = none" if role else "")
            findings.add(f"role_object_id[{role}][{index}]", annotation_id, what, level="flaw")


def _check_persons(ann_ids: Any, first_column: list, findings: Findings) -> None:
    """Notes where `ann_id`, which is not used here, differs from the person in the roles."""
    written = findings.list_of(ann_ids, object, "ann_id")
    if len(written) != len(first_column):
        findings.add("ann_id", len(written), f"{len(first_column)} ids", level="flaw")
    for i, (ident, person) in enumerate(zip(written, first_column)):
        if type(ident) is not int or ident != person:
            what = f"{person}, the agent in role_object_id"
            findings.add(f"ann_id[{i}]", ident, what, level="flaw")


def _mark_labelled(image: dict | None, annotation_id: Any) -> None:
    row = image["rows"].get(annotation_id) if image and type(annotation_id) is int else None
    if image is not None and row is not None:
        image["annotations"][row]["labelled"] = True


def _verb_ids(name: Any, roles: list[str], findings: Findings) -> list[int]:
    """The verb ids of an action: one for each role after the agent, or the action itself."""
    verbs = vcoco_vocabulary().verbs
    names = [f"{name}_{role}" for role in roles[1:]] or [name]
    unknown = [n for n in names if n not in verbs]
    if unknown or not roles or roles[0] != "agent":
        findings.add("action_name, role_name", [name, roles], "one of V-COCO's 26 actions")
    return [verbs.index(n) for n in names if n in verbs]


def _add_pairs(
    image: dict, of_roles: list, verbs: list[int], findings: Findings, index: int
) -> None:
    rows, entities = image["rows"], image["annotations"]
    found = []
    for role, annotation_id in enumerate(of_roles):
        row = rows.get(annotation_id) if type(annotation_id) is int else None
        if annotation_id == 0 and role > 0 and type(annotation_id) is int:
            row = NO_OBJECT
        if row is None:
            what = f"an annotation of image {image['image_id']}" + (", 0 = none" if role else "")
            findings.add(f"role_object_id[{role}][{index}]", annotation_id, what)
            return
        found.append(row)
    if entities[found[0]]["category_id"] != 0:
        findings.add(f"role_object_id[0][{index}]", of_roles[0], "the annotation of a person")
        return
    objects = found[1:] or [NO_OBJECT]
    for verb, row in zip(verbs, objects):
        pair = {"human": found[0], "object": row, "verb": verb, "hoi": -1}
        image["hoi_annotations"].append(pair)
        image["fields"].append(f"{vcoco_vocabulary().verbs[verb]}, entry {index}")
