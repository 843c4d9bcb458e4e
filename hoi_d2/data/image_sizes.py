"""Adds image sizes and names to the records of annotation files that lack them."""

from __future__ import annotations

import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hoi_d2.data.datasets.records import DataFormatError, read_json
from hoi_d2.data.images import ImageFileError, image_size

logger = logging.getLogger(__name__)

_SIZES: dict[str, tuple[int, int]] = {}  # file name -> height, width, read in this process


def sizes_file(json_file: str | os.PathLike) -> Path:
    """Returns the file with the image sizes of an annotation file: `X.json` -> `X.sizes.json`."""
    return Path(json_file).with_suffix(".sizes.json")


def hico_sizes_key(mat_file: str | os.PathLike, part: str) -> Path:
    """The annotation file name under which the sizes of one split of `anno.mat` are stored."""
    return Path(mat_file).with_name(f"anno_{part}.mat")


def add_image_sizes(records: list[dict], json_file: str | os.PathLike) -> list[dict]:
    """Adds missing `height, width` to records, in place.

    They come from `X.sizes.json` next to the annotation file, which the preparation tools write,
    else from the headers of the images. Records whose image is missing get none, so that results
    can be scored without the images.
    """
    lacking = [r for r in records if "width" not in r]
    if not lacking:
        return records
    known = _read_sizes(sizes_file(json_file))
    unread = []
    for record in lacking:
        size = known.get(os.path.basename(record["file_name"])) or _SIZES.get(record["file_name"])
        if size:
            record["height"], record["width"] = size
        else:
            unread.append(record)
    _read_headers(_on_disk(unread))
    return records


def _on_disk(records: list[dict]) -> list[dict]:
    """Returns the records whose image exists; each folder is listed once, which is fast."""
    folders = {os.path.dirname(r["file_name"]) for r in records}
    there = {f: set(os.listdir(f)) if os.path.isdir(f) else set() for f in folders}
    return [r for r in records if _is_in(there, r["file_name"])]


def _is_in(there: dict[str, set[str]], file_name: str) -> bool:
    folder, name = os.path.split(file_name)
    return name in there[folder]


def _read_headers(records: list[dict]) -> None:
    if len(records) > 1000:
        logger.info(
            "reading the sizes of %d images (hoi-d2 data prepare-... stores them)", len(records)
        )
    with ThreadPoolExecutor(8) as pool:
        sizes = pool.map(_header_size, records)
        for record, size in zip(records, sizes):
            if size:
                record["height"], record["width"] = _SIZES[record["file_name"]] = size


def _header_size(record: dict) -> tuple[int, int] | None:
    try:
        return image_size(record["file_name"], apply_exif=not record.get("ignore_exif", False))
    except ImageFileError:
        return None  # reported when the image is read


def _read_sizes(file: Path) -> dict[str, tuple[int, int]]:
    if not file.is_file():
        return {}
    try:
        return {name: (h, w) for name, (h, w) in read_json(file).items()}
    except (DataFormatError, AttributeError, TypeError, ValueError):
        logger.warning("%s is not a file of image sizes and is ignored", file)
        return {}


def write_image_sizes(records: list[dict], json_file: str | os.PathLike) -> Path:
    """Writes `X.sizes.json` from records that have sizes; returns its path."""
    sizes = {
        os.path.basename(r["file_name"]): [r["height"], r["width"]] for r in records if "width" in r
    }
    file = sizes_file(json_file)
    partial = file.with_suffix(".part")
    partial.write_text(json.dumps(sizes))
    os.replace(partial, file)
    return file


def store_image_sizes(records: list[dict], json_file: str | os.PathLike) -> Path | None:
    """Reads missing sizes and writes `X.sizes.json`; returns None if there is nothing to write."""
    if all("width" in r for r in records):
        return None
    add_image_sizes(records, json_file)
    return write_image_sizes(records, json_file) if any("width" in r for r in records) else None


def use_coco_2017_names(records: list[dict]) -> None:
    """Changes file names to COCO 2017's, in place, if their folder is `train2017`.

    COCO 2017 has the images of 2014 under 12-digit names, with other train and val splits.
    """
    if not records or os.path.basename(os.path.dirname(records[0]["file_name"])) != "train2017":
        return
    train = os.path.dirname(records[0]["file_name"])
    val = os.path.join(os.path.dirname(train), "val2017")
    in_val = set(os.listdir(val)) if os.path.isdir(val) else set()
    for record in records:
        name = f"{record['image_id']:012d}.jpg"
        record["file_name"] = os.path.join(val if name in in_val else train, name)
