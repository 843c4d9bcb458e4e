"""Reads HICO-DET's official file, `anno_bbox.mat`, with `bbox_train` and `bbox_test`.

Each image has `filename`, `size` (width, height, depth) and `hoi`, whose members have `id`
(1..600), `bboxhuman` and `bboxobject` (x1, x2, y1, y2; 1-based, inclusive), `connection` (n x 2,
1-based: human, object) and `invis` (1 = the HOI is in the image, but no pair is visible).
"""

from __future__ import annotations

import logging

import numpy as np

from hoi_d2.data.datasets.checks import check_record
from hoi_d2.data.datasets.mat import elements, integer, load_mat, member, number, text
from hoi_d2.data.datasets.records import Findings, file_problem, image_head, number_in_name
from hoi_d2.data.datasets.upt_form import EntityTable
from hoi_d2.data.vocabulary import hico_det_vocabulary

logger = logging.getLogger(__name__)
_CORNERS = ("x1", "y1", "x2", "y2")


def read_anno_bbox(findings: Findings, image_root: str, *, split: str | None) -> list[dict]:
    """Dataset dicts of one split of `anno_bbox.mat`.

    Args:
        findings: the problems of the file.
        image_root: the folder that is put before every file name.
        split: `train` or `test`.

    Raises:
        DataFormatError: the file is not `anno_bbox.mat`.
    """
    if split not in ("train", "test"):
        raise file_problem(findings.file, "split", split, "split='train' or split='test'")
    variable = f"bbox_{split}"
    images = elements(load_mat(findings.file, [variable])[variable])
    records, invisible = [], 0
    for index, image in enumerate(images):
        record, skipped = _read_image(image, index, findings, image_root)
        invisible += skipped
        if record is not None:
            records.append(record)
    logger.info(
        "%s %s: %d image-level HOIs have no visible pair (`invis`)",
        *(findings.file, variable, invisible),
    )
    return records


def _read_image(
    image: np.void, index: int, findings: Findings, root: str
) -> tuple[dict | None, int]:
    name = text(member(image, "filename"))
    findings.record = f"record {index} ({name})"
    image_id = number_in_name(name or "")
    file_name = findings.name(name, "filename")
    if file_name is None or image_id is None:
        findings.add("filename", name, "a file name that ends in a number")
        return None, 0
    record = image_head(root, file_name, image_id)
    for shape in elements(member(image, "size"))[:1]:
        width, height = integer(member(shape, "width")), integer(member(shape, "height"))
        size = findings.size(width, height, "size")
        if size:
            record["width"], record["height"] = size
    table, invisible = EntityTable(), 0
    pairs: dict[str, dict] = {}
    for k, hoi in enumerate(elements(member(image, "hoi"))):
        if integer(member(hoi, "invis")) == 1:
            invisible += 1
        else:
            pairs |= _read_hoi(hoi, findings, f"hoi({k + 1})", table)
    record |= {"annotations": table.entities(), "hoi_annotations": list(pairs.values())}
    if findings.strict:
        check_record(record, findings, table.fields, list(pairs))
    return record, invisible


def _read_hoi(hoi: np.void, findings: Findings, at: str, table: EntityTable) -> dict[str, dict]:
    """Returns the interactions of one HOI, by their place in the file."""
    vocabulary = hico_det_vocabulary()
    count = len(vocabulary.hois)
    hoi_id = findings.integer(integer(member(hoi, "id")), 1, count + 1, f"{at}.id", "an HOI id")
    humans = _boxes(member(hoi, "bboxhuman"), findings, f"{at}.bboxhuman")
    objects = _boxes(member(hoi, "bboxobject"), findings, f"{at}.bboxobject")
    links = np.asarray(member(hoi, "connection"))
    if links.size and (links.ndim != 2 or links.shape[1] != 2 or links.dtype.kind not in "iuf"):
        findings.add(f"{at}.connection", links.shape, "n x 2 numbers")
        return {}
    if hoi_id is None:
        return {}
    pairs = {}
    object_id, verb = (int(v) for v in vocabulary.hois[hoi_id - 1])
    for n, (human, obj) in enumerate(links.reshape(-1, 2).tolist()):
        place = f"{at}.connection({n + 1},:)"
        if human not in range(1, len(humans) + 1) or obj not in range(1, len(objects) + 1):
            what = f"a human 1..{len(humans)} and an object 1..{len(objects)}"
            findings.add(place, [human, obj], what)
            continue
        box_h, box_o = humans[int(human) - 1], objects[int(obj) - 1]
        if box_h is None or box_o is None:
            continue  # already reported
        first = table.row(vocabulary.person, box_h, f"{at}.bboxhuman({int(human)})")
        second = table.row(object_id, box_o, f"{at}.bboxobject({int(obj)})")
        pairs[place] = {"human": first, "object": second, "verb": verb, "hoi": hoi_id - 1}
    return pairs


def _boxes(value: object, findings: Findings, at: str) -> list[tuple[float, ...] | None]:
    boxes: list[tuple[float, ...] | None] = []
    for i, struct in enumerate(elements(value)):
        corners = [number(member(struct, c)) for c in _CORNERS]
        sound = findings.box(corners, f"{at}({i + 1})")
        x0, y0, x1, y1 = sound or (0.0, 0.0, 0.0, 0.0)
        boxes.append((x0 - 1, y0 - 1, x1, y1) if sound else None)
    return boxes
