"""Loads HICO-DET, in any of its four published forms, as detectron2 dataset dicts.

- QPIC form (PPDM, QPIC, CDN, GEN-VLKT, ...): a list of images with `hoi_annotation`.
- UPT form (UPT, PViC, SCG, ...): an object of parallel lists with `correspondence`.
- odgt: one JSON object per line, with `gtboxes` and `hoi` (HoiTransformer).
- official: MATLAB's `anno_bbox.mat`.

Boxes come out as continuous 0-based XYXY: an inclusive pixel box [x0, y0, x1, y1] is
[x0 - 1, y0 - 1, x1, y1] where the file counts from 1 and [x0, y0, x1 + 1, y1 + 1] where it counts
from 0. The smallest coordinate of a QPIC file shows which of the two it does.
"""

from __future__ import annotations

import os
from typing import Any

from hoi_d2.data.datasets.odgt_form import is_odgt, read_odgt
from hoi_d2.data.datasets.qpic_form import read_qpic_hico_det
from hoi_d2.data.datasets.records import (
    Findings,
    cached,
    file_problem,
    image_head,
    parse_json,
    paused_gc,
    read_text,
)
from hoi_d2.data.datasets.upt_form import read_upt_hico_det
from hoi_d2.data.vocabulary import hico_det_test_images_without_pairs

_QPIC_TEST_IMAGES = 9546


def load_hico_det(
    json_file: str | os.PathLike,
    image_root: str | os.PathLike = "",
    *,
    one_based: bool | None = None,
    split: str | None = None,
) -> list[dict]:
    """Loads HICO-DET annotations in any of their forms, recognised by content.

    Args:
        json_file: `trainval_hico.json`, `instances_test2015.json`, `anno_bbox.mat`, ...
        image_root: the folder of the images; it is put before every file name.
        one_based: whether boxes count pixels from 1, which differs only between files of the QPIC
            form; None = by the file's content.
        split: `train` or `test`; needed for `anno_bbox.mat` only, which holds both.

    Returns:
        One dict per image: `file_name, image_id, annotations, hoi_annotations`, and
        `height, width` where the file has them (else the mapper reads them from the image).
        `image_id` is the number in the file name. The caller may change the list.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: records are broken; the message names each of them.
    """
    file, root = os.fspath(json_file), os.fspath(image_root)
    if not os.path.isfile(file):
        raise FileNotFoundError(f"no such annotation file: {file}")

    def load() -> list[dict]:
        findings = Findings(file)
        records = read_hico_det(findings, root, one_based=one_based, split=split)
        findings.raise_errors()
        return records

    return cached(load, ("hico_det", os.path.abspath(file), root, one_based, split), [file])


def read_hico_det(
    findings: Findings, image_root: str, *, one_based: bool | None = None, split: str | None = None
) -> list[dict]:
    """Like `load_hico_det`, but notes problems in `findings` and returns the valid images."""
    with paused_gc():
        if findings.file.lower().endswith(".mat"):
            from hoi_d2.data.datasets.hico_det_mat import read_anno_bbox

            return read_anno_bbox(findings, image_root, split=split)
        text = read_text(findings.file)
        if is_odgt(text):
            return read_odgt(text, findings, image_root, hico_det=True)
        data = parse_json(text, findings.file)
        if is_qpic_form(data):
            return read_qpic_hico_det(data, findings, image_root, one_based=one_based)
        if is_upt_form(data):
            return read_upt_hico_det(data, findings, image_root)
    raise file_problem(
        findings.file,
        "content",
        list(data)[:6] if isinstance(data, dict) else type(data).__name__,
        "HICO-DET: a list of images with `hoi_annotation` (QPIC form), an object with "
        "`correspondence` (UPT form), lines with `gtboxes` (odgt), or anno_bbox.mat",
    )


def missing_test_images(records: list[dict], image_root: str = "") -> list[dict]:
    """Returns the 112 test images without a visible pair, which the QPIC file lacks.

    The official metric includes them: every detection in them is a false positive.
    """
    without = hico_det_test_images_without_pairs()
    if len(records) != _QPIC_TEST_IMAGES or any(r["image_id"] in without for r in records):
        return []  # the file has them, or it is a selection of images
    heads = [image_head(image_root, f"HICO_test2015_{i:08d}.jpg", i) for i in without]
    return [head | {"annotations": [], "hoi_annotations": []} for head in heads]


def is_qpic_form(data: Any) -> bool:
    """Returns whether data are a list of images with `hoi_annotation`; the list may be empty."""
    if not isinstance(data, list):
        return False
    return not data or any(isinstance(r, dict) and "hoi_annotation" in r for r in data[:50])


def is_upt_form(data: Any) -> bool:
    """Returns whether data are an object with `correspondence` and parallel lists."""
    return isinstance(data, dict) and "correspondence" in data and "filenames" in data
