"""Loads HICO's image-level labels of 600 interactions, from the official `anno.mat`."""

from __future__ import annotations

import os

import numpy as np

from hoi_d2.data.datasets.mat import load_mat, text
from hoi_d2.data.datasets.records import Findings, cached, file_problem, image_head, number_in_name

POSITIVE, AMBIGUOUS, NEGATIVE, UNKNOWN = 1, 0, -1, -2
"""The four values of an image-level label."""


def load_hico(
    mat_file: str | os.PathLike, image_root: str | os.PathLike = "", *, split: str
) -> list[dict]:
    """Loads HICO's image-level labels as dataset dicts.

    Args:
        mat_file: `anno.mat`, of HICO (20150920) or HICO-DET (20160224_det).
        image_root: the folder of the images; it is put before every file name.
        split: `train` or `test`.

    Returns:
        One dict per image: `file_name, image_id` and `image_labels` (600,) int8: 1 = positive,
        0 = ambiguous, -1 = negative (the object is there, the interaction is not), -2 = unknown.
        `annotations` and `hoi_annotations` are empty lists.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: the file is not HICO's `anno.mat`.
    """
    file, root = os.fspath(mat_file), os.fspath(image_root)
    if not os.path.isfile(file):
        raise FileNotFoundError(f"no such annotation file: {file}")

    def load() -> list[dict]:
        findings = Findings(file)
        records = read_hico(findings, root, split=split)
        findings.raise_errors()
        return records

    return cached(load, ("hico", os.path.abspath(file), root, split), [file])


def read_hico(findings: Findings, image_root: str, *, split: str) -> list[dict]:
    """Like `load_hico`, but notes problems in `findings` and returns the valid images."""
    names, labels = read_image_labels(findings.file, split)
    records = []
    for index, (name, row) in enumerate(zip(names, labels)):
        findings.record = f"record {index} ({name})"
        image_id = number_in_name(name or "")
        file_name = findings.name(name, f"list_{split}")
        if file_name is None or image_id is None:
            findings.add(f"list_{split}", name, "a file name that ends in a number")
            continue
        head = image_head(image_root, file_name, image_id)
        records.append(head | {"annotations": [], "hoi_annotations": [], "image_labels": row})
    return records


def read_image_labels(
    mat_file: str | os.PathLike, split: str
) -> tuple[list[str | None], np.ndarray]:
    """File names and labels (N, 600) int8 of one split, in the file's order.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: the file is not HICO's `anno.mat`.
    """
    if split not in ("train", "test"):
        raise file_problem(mat_file, "split", split, "split='train' or split='test'")
    variables = [f"anno_{split}", f"list_{split}"]
    content = load_mat(mat_file, variables)
    labels, names = (content[v] for v in variables)
    if labels.dtype.kind not in "iuf" or labels.ndim != 2 or labels.shape[0] != 600:
        shape = f"{labels.dtype} {labels.shape}"
        raise file_problem(mat_file, variables[0], shape, "600 x N numbers")
    if names.dtype != object or names.size != labels.shape[1]:
        shape = f"{names.dtype} {names.shape}"
        raise file_problem(mat_file, variables[1], shape, f"a cell of {labels.shape[1]} names")
    unknown = np.isnan(labels)
    known = (labels == POSITIVE) | (labels == AMBIGUOUS) | (labels == NEGATIVE)
    wrong = np.argwhere(~(known | unknown))
    if len(wrong):
        hoi, image = (int(v) for v in wrong[0])
        field = f"{variables[0]}({hoi + 1},{image + 1})"
        raise file_problem(mat_file, field, float(labels[hoi, image]), "1, 0, -1 or NaN")
    labels = np.where(unknown, UNKNOWN, labels).astype(np.int8)
    return [text(n) for n in names.ravel()], np.ascontiguousarray(labels.T)
