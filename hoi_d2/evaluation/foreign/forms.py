"""Recognises the result files of other code bases, to name them or to convert them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PPDM = "the JSON of PPDM, QPIC and CDN (`hoi_prediction`)"
UPT_MAT = "UPT's folder of detections_01.mat ... detections_80.mat"
VCOCO_PICKLE = "a pickle, as V-COCO's tool reads it"

_PICKLE_STARTS = (b"\x80", b"(lp", b"(dp", b"]q", b"(l.")


def is_ppdm(items: Any) -> bool:
    """Returns whether parsed JSON is a list of images with `hoi_prediction`."""
    return isinstance(items, list) and any(
        isinstance(record, dict) and "hoi_prediction" in record for record in items[:50]
    )


def form_on_disk(path: str | Path) -> str:
    """Returns the form of a folder or of a pickle; "" for anything else, JSON included."""
    path = Path(path)
    if path.is_dir():
        return UPT_MAT if any(path.glob("detections_*.mat")) else ""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        start = file.read(4)
    pickled = path.suffix.lower() in (".pkl", ".pickle") or start.startswith(_PICKLE_STARTS)
    return VCOCO_PICKLE if pickled else ""


def how_to_convert(path: str | Path, form: str) -> str:
    """Returns the message for a form that has to be converted first."""
    return (
        f"{path}: this is {form}; convert it by: hoi-d2 convert-results {path} --output results.npz"
    )
