"""Which format an annotation file has, by its content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hoi_d2.data.datasets.forms import (
    HOI_A,
    HOI_A_TEXT,
    OWN_TEXT,
    PLAIN_COCO_TEXT,
    SWIG_TEXT,
    dataset_of,
    is_plain_coco,
    is_swig,
    names_in_odgt,
    names_in_records,
)
from hoi_d2.data.datasets.hico_det import is_qpic_form, is_upt_form
from hoi_d2.data.datasets.hoi_json import is_hoi_json
from hoi_d2.data.datasets.mat import mat_variables
from hoi_d2.data.datasets.odgt_form import is_odgt
from hoi_d2.data.datasets.records import DataFormatError, Problem, parse_json, read_text
from hoi_d2.data.datasets.stanford40 import ACTIONS_FILE
from hoi_d2.data.datasets.vcoco import is_official_form

SUFFIXES = (".json", ".odgt", ".mat")
FORMATS = ("hico_det", "vcoco", "hico", "mpii", "stanford40", "hoi_json")


class UnknownFormError(DataFormatError):
    """A valid file holds no annotations of a known format."""


class ForeignFormError(DataFormatError):
    """A file holds annotations of a dataset that hoi_d2 does not read; the message names it."""


def detect_format(path: str | os.PathLike) -> str:
    """Detects which of FORMATS a file has, by its content.

    Raises:
        FileNotFoundError: the file does not exist.
        UnknownFormError: the file has none of the formats.
        DataFormatError: the file cannot be read.
    """
    if os.fspath(path).lower().endswith(".mat"):
        return _mat_format(path)
    text = read_text(path)
    if os.path.basename(path) == ACTIONS_FILE:
        return "stanford40"
    if is_odgt(text):
        return _known(path, names_in_odgt(text))
    data = parse_json(text, path)
    if is_official_form(data) or (isinstance(data, dict) and "action_to_object" in data):
        return "vcoco"
    if is_hoi_json(data):
        return "hoi_json"
    if isinstance(data, dict) and "activities" in data:
        return "mpii"
    if isinstance(data, dict) and "actions" in data:
        return "stanford40"
    if is_upt_form(data):
        return "hico_det"
    if is_swig(data):
        raise _foreign(path, SWIG_TEXT)
    if is_qpic_form(data):
        return _known(path, names_in_records(data)) if data else "hico_det"
    if is_plain_coco(data):
        raise _unknown(path, "content", list(data)[:6], PLAIN_COCO_TEXT)
    found = list(data)[:6] if isinstance(data, dict) else type(data).__name__
    raise _unknown(path, "content", found, f"one of {', '.join(FORMATS)} (--format sets it)")


def _known(path: str | os.PathLike, names: list[Any]) -> str:
    """Returns the dataset of the images, if it is read in QPIC's and HoiTransformer's forms."""
    dataset = dataset_of(names)
    if dataset in FORMATS:
        return dataset
    if dataset == HOI_A:
        raise _foreign(path, HOI_A_TEXT)
    raise ForeignFormError([Problem(os.fspath(path), "", "file_name", names[:3], OWN_TEXT)])


def _foreign(path: str | os.PathLike, text: str) -> ForeignFormError:
    expected = f"one of {', '.join(FORMATS)}; this is {text}"
    return ForeignFormError([Problem(os.fspath(path), "", "content", "another dataset", expected)])


def _unknown(path: str | os.PathLike, field: str, found: Any, expected: str) -> UnknownFormError:
    return UnknownFormError([Problem(os.fspath(path), "", field, found, expected)])


def annotation_files(folder: str | os.PathLike) -> tuple[list[str], list[str]]:
    """Finds the annotation files in a folder, at any depth.

    Args:
        folder: the folder to search for `.json`, `.odgt` and `.mat` files.

    Returns:
        The files with annotations or that cannot be read, and the files with other content.
    """
    known, others = [], []
    for path in sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES):
        try:
            detect_format(path)
        except UnknownFormError:
            others.append(str(path))
            continue
        except (DataFormatError, OSError):
            pass  # validate_file reports the error
        known.append(str(path))
    return known, others


def _mat_format(path: str | os.PathLike) -> str:
    names = set(mat_variables(path))
    for variable, name in (("bbox_", "hico_det"), ("anno_", "hico"), ("RELEASE", "mpii")):
        if any(n.startswith(variable) for n in names):
            return name
    expected = "bbox_train (HICO-DET), anno_train (HICO) or RELEASE (MPII)"
    raise _unknown(path, "variables", sorted(names), expected)
