"""Whether a file that was saved by hand is the published one."""

from __future__ import annotations

from pathlib import Path

from hoi_d2.checkpoint.conversion import recognise_layout
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.page_files import page_path, record_page_file
from hoi_d2.checkpoint.upt_conversion import is_whole_upt
from hoi_d2.checkpoint.weight_files import read_weights
from hoi_d2.model_zoo.published import PageFile


def check_new_file(file: PageFile) -> str:
    """Reads a file that was saved, records it, and returns its SHA-256.

    Raises:
        ChangedFileError: it is not the file that was used first.
        WeightsError: it is no weight file, or one of another model.
    """
    path = page_path(file)
    if _is_web_page(path):
        raise WeightsError(
            f"{path} is a web page, which Google Drive gives in place of a large file: open "
            f"{file.page} in a browser, choose to download it anyway, and save the file itself"
        )
    found = _layout(path)
    if found != file.layout:
        raise WeightsError(
            f"{path} is another file: expected weights in the layout {file.layout}, found "
            f"{found or 'an unknown one'}. Download {file.page} and save it under that name"
        )
    return record_page_file(path)


def _is_web_page(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(100).lstrip().lower().startswith((b"<!doctype", b"<html"))


def _layout(path: Path) -> str:
    """As of `recognise_layout`; UPT's detectors apart from whole UPTs."""
    file = read_weights(path)
    layout = recognise_layout(file)
    return "upt_detector" if layout == "upt" and not is_whole_upt(file) else layout
