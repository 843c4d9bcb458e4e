"""Loads V-COCO, in any of its four published forms, as detectron2 dataset dicts.

- official: a list of 26 actions with `role_name`; boxes come from COCO's instances files.
- QPIC form: a list of images with `hoi_annotation`; object -1 = none.
- UPT form: an object of parallel lists with `action_to_object`; has visible objects only, and
  neither role-less actions nor `point`.
- odgt: one JSON object per line, with `gtboxes` and `hoi`.

Verbs are the 29 action-roles of `vcoco_vocabulary()`. Boxes are COCO's, continuous and 0-based:
(x, y, x + w, y + h). An action whose object is not visible is an interaction with object -1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from hoi_d2.data.datasets.forms import HICO_DET, dataset_of, names_in_odgt
from hoi_d2.data.datasets.odgt_form import is_odgt, read_odgt
from hoi_d2.data.datasets.qpic_form import read_qpic_vcoco
from hoi_d2.data.datasets.records import (
    Findings,
    cached,
    file_problem,
    parse_json,
    paused_gc,
    read_text,
)
from hoi_d2.data.datasets.upt_form import read_upt_vcoco
from hoi_d2.data.datasets.vcoco_official import read_official


def load_vcoco(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike = "",
    *,
    coco_annotations: str | os.PathLike | Sequence[str | os.PathLike] = (),
    image_ids: str | os.PathLike | Sequence[int] | None = None,
) -> list[dict]:
    """Loads V-COCO annotations in any of their forms, recognised by content.

    Args:
        json_file: `vcoco_test.json`, `instances_vcoco_test.json`, `trainval_vcoco.json`, `*.odgt`.
        image_root: the folder of the images; it is put before every file name.
        coco_annotations: COCO's instances file or files, which hold the boxes of the official form.
        image_ids: the images to keep, in this order: ids, or a file with one id per line
            (`splits/vcoco_test.ids`); None = all images.

    Returns:
        One dict per image: `file_name, image_id` (COCO's), `annotations, hoi_annotations`, and
        `height, width` where the files have them. The caller may change the list.

    Raises:
        FileNotFoundError: a file does not exist.
        DataFormatError: records are broken; the message names each of them.
    """
    file, root = os.fspath(json_file), os.fspath(image_root)
    coco_files = as_paths(coco_annotations)
    wanted: str | tuple[int, ...] | None
    if isinstance(image_ids, str | os.PathLike):
        wanted = os.fspath(image_ids)
    else:
        wanted = None if image_ids is None else tuple(image_ids)
    id_files = [wanted] if isinstance(wanted, str) else []
    for needed in [file, *coco_files, *id_files]:
        if not os.path.isfile(needed):
            raise FileNotFoundError(f"no such annotation file: {needed}")

    def load() -> list[dict]:
        findings = Findings(file)
        records = read_vcoco(findings, root, coco_files=coco_files)
        findings.raise_errors()
        return records if wanted is None else select_images(records, wanted, file)

    key = ("vcoco", os.path.abspath(file), root, tuple(coco_files), wanted)
    return cached(load, key, [file, *coco_files, *id_files])


def as_paths(files: str | os.PathLike | Sequence[str | os.PathLike]) -> list[str]:
    """Converts one path or several to a list of strings."""
    files = [files] if isinstance(files, str | os.PathLike) else files
    return [os.fspath(f) for f in files]


def read_image_ids(path: str | os.PathLike) -> list[int]:
    """Reads a split file: one image id per line, and at least one.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: lines are not ids; the message names each of them.
    """
    findings, ids = Findings(path), []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        text = line.strip()
        if text.isascii() and text.isdigit() and len(text) < 19:
            ids.append(int(text))
        elif text:
            findings.add(f"line {number}", text, "an image id")
    if not ids and not findings.problems:
        findings.add("content", "no ids", "one id per line")
    findings.raise_errors()
    return ids


def select_images(
    records: list[dict], image_ids: str | os.PathLike | Sequence[int], file: str
) -> list[dict]:
    """Returns the records of these images, in this order; an id without a record is an error."""
    if isinstance(image_ids, str | os.PathLike):
        image_ids = read_image_ids(image_ids)
    by_id = {r["image_id"]: r for r in records}
    missing = [i for i in image_ids if i not in by_id]
    if missing:
        what = f"every image of the split; {len(missing)} have no record"
        raise file_problem(file, "image_id", missing[:5], what)
    return [by_id[i] for i in image_ids]


def read_vcoco(
    findings: Findings, image_root: str, *, coco_files: Sequence[str] = ()
) -> list[dict]:
    """Like `load_vcoco`, but notes problems in `findings` and returns the valid images."""
    text = read_text(findings.file)
    with paused_gc():
        if is_odgt(text):
            if dataset_of(names_in_odgt(text)) == HICO_DET:
                raise file_problem(findings.file, "file_name", "HICO_...", "V-COCO's images")
            return read_odgt(text, findings, image_root)
        data = parse_json(text, findings.file)
        if is_official_form(data):
            return read_official(data, findings, image_root, coco_files)
        if isinstance(data, dict) and "action_to_object" in data:
            return read_upt_vcoco(data, findings, image_root)
        if isinstance(data, list) and not (data and "hoi_annotation" not in _keys(data[0])):
            return read_qpic_vcoco(data, findings, image_root)
    raise file_problem(
        findings.file,
        "content",
        list(data)[:6] if isinstance(data, dict) else type(data).__name__,
        "V-COCO: a list of 26 actions with `role_name` (official), a list of images with "
        "`hoi_annotation` (QPIC form), an object with `action_to_object` (UPT form), or lines "
        "with `gtboxes` (odgt)",
    )


def _keys(value: Any) -> Sequence[str]:
    return list(value) if isinstance(value, dict) else ()


def is_official_form(data: Any) -> bool:
    """Returns whether data are a list of actions with `role_name`."""
    return isinstance(data, list) and bool(data) and "role_name" in _keys(data[0])
