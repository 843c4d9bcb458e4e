"""Finds the broken records of a data file and their errors, for `hoi-d2 data validate`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from hoi_d2.data.datasets.checks import check_names
from hoi_d2.data.datasets.hico import read_hico
from hoi_d2.data.datasets.hico_det import read_hico_det
from hoi_d2.data.datasets.hoi_json import read_hoi_json
from hoi_d2.data.datasets.mpii import read_mpii
from hoi_d2.data.datasets.records import (
    NO_OBJECT,
    DataFormatError,
    Findings,
    Problem,
    paused_gc,
)
from hoi_d2.data.datasets.stanford40 import read_stanford40
from hoi_d2.data.datasets.vcoco import read_vcoco
from hoi_d2.data.detect_format import detect_format
from hoi_d2.data.images import ImageFileError, check_size, image_size, read_dataset_image
from hoi_d2.data.suspicions import suspect_boxes

Progress = Callable[[Iterator, int], Iterator]


@dataclass
class Report:
    """The result of checking one file.

    Args:
        file: the path of the file.
        format: one of FORMATS; empty if it is none of them.
        images, entities, interactions, no_object: the number of each; `no_object` counts
            the interactions without a visible object.
        problems: all errors, flaws, warnings and notes.
        images_checked: the number of images that were opened; None = no images were found.
    """

    file: str
    format: str = ""
    images: int = 0
    entities: int = 0
    interactions: int = 0
    no_object: int = 0
    problems: list[Problem] = field(default_factory=list)
    images_checked: int | None = None

    @property
    def is_sound(self) -> bool:
        """Whether the file has no errors and no flaws; warnings and notes do not count."""
        return all(p.level in ("note", "warning") for p in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Returns the report as JSON data."""
        problems = [p.as_dict() for p in self.problems]
        return {**self.__dict__, "is_sound": self.is_sound, "problems": problems}


def validate_file(
    path: str | os.PathLike,
    *,
    file_format: str = "",
    image_root: str | os.PathLike | None = None,
    coco_annotations: Sequence[str] = (),
    decode: bool = True,
    progress: Progress = lambda items, total: items,
) -> Report:
    """Reads an annotation file and reports every broken record.

    Args:
        path: the path of the file.
        file_format: one of FORMATS; empty = by content.
        image_root: the folder of its images, which are also checked. None = the folder of the
            file or `images` in it, if the images are there.
        coco_annotations: COCO's instances files, which official V-COCO labels need.
        decode: decode every image; False = read only its header.
        progress: a wrapper of the iteration over images.

    Returns:
        The report, which lists all errors in the file instead of raising them.
    """
    report = Report(os.fspath(path))
    try:
        report.format = file_format or detect_format(path)
        records, report.problems = _read(report, coco_annotations)
    except DataFormatError as error:
        report.problems = error.problems
        return report
    except OSError as error:
        report.problems = [Problem(report.file, "", "file", str(error), "a file that can be read")]
        return report
    _count(report, records)
    _check_amounts(report)
    root = _find_images(records, report.file) if image_root is None else os.fspath(image_root)
    findings = Findings(report.file)
    suspect_boxes(records, _sizes(records, root), findings)
    report.problems += findings.problems
    if root is not None:
        report.images_checked = len(records)
        report.problems += check_images(records, root, decode=decode, progress=progress)
    return report


def _read(report: Report, coco_annotations: Sequence[str]) -> tuple[list[dict], list[Problem]]:
    """Returns all records that can be checked further, and all problems."""
    findings = Findings(report.file, strict=True)
    records: list[dict] = []
    with paused_gc():
        try:
            for part in _parts(report, findings, coco_annotations):
                check_names(part, findings)
                records += part
        except DataFormatError as error:
            known = set(map(id, findings.problems))
            findings.problems += [p for p in error.problems if id(p) not in known]
    return records, findings.problems


def _parts(
    report: Report, findings: Findings, coco_annotations: Sequence[str]
) -> Iterator[list[dict]]:
    """Yields the records of each split in the file; names must be unique within one split."""
    kind, is_mat = report.format, report.file.lower().endswith(".mat")
    if kind == "hico" or (kind == "hico_det" and is_mat):
        read = read_hico if kind == "hico" else read_hico_det
        for split in ("train", "test"):
            yield read(findings, "", split=split)
    elif kind == "hico_det":
        yield read_hico_det(findings, "")
    elif kind == "vcoco":
        yield read_vcoco(findings, "", coco_files=coco_annotations)
    elif kind == "mpii":
        yield read_mpii(findings, "")[1]
    elif kind == "stanford40":
        yield read_stanford40(findings, "")[1]
    else:
        yield read_hoi_json(findings, "")


def _count(report: Report, records: Sequence[dict]) -> None:
    report.images = len(records)
    report.entities = sum(len(r["annotations"]) for r in records)
    pairs = [p for r in records for p in r["hoi_annotations"]]
    report.interactions = len(pairs)
    report.no_object = sum(p["object"] == NO_OBJECT for p in pairs)


def _check_amounts(report: Report) -> None:
    """Reports a file from which nothing can be learned."""
    if report.problems:
        return
    if not report.images:
        report.problems.append(Problem(report.file, "", "images", 0, "at least one", "flaw"))
    elif report.format in ("hico_det", "vcoco", "hoi_json") and not report.interactions:
        what = "at least one interaction; nothing can be learned from this file"
        report.problems.append(Problem(report.file, "", "interactions", 0, what, "flaw"))


def _sizes(records: Sequence[dict], root: str | None) -> list[tuple[int, int] | None]:
    """Width and height of each image, in the file or in the header of the image."""
    return [_size(record, root) for record in records]


def _size(record: dict, root: str | None) -> tuple[int, int] | None:
    if "width" in record:
        return record["width"], record["height"]
    name = os.path.join(root or "", record["file_name"])
    if root is None or not os.path.isfile(name):
        return None
    try:
        height, width = image_size(name, apply_exif=not record.get("ignore_exif", False))
    except ImageFileError:
        return None  # check_images reports it
    return width, height


def _find_images(records: Sequence[dict], file: str) -> str | None:
    """Returns the file's own folder, or `images` in it, if it has any of the first images."""
    folder = os.path.dirname(os.path.abspath(file))
    for root in (folder, os.path.join(folder, "images")):
        if any(os.path.isfile(os.path.join(root, r["file_name"])) for r in records[:100]):
            return root
    return None


def check_images(
    records: Sequence[dict],
    image_root: str,
    *,
    decode: bool = True,
    progress: Progress = lambda items, total: items,
) -> list[Problem]:
    """Finds images that are missing, unreadable, or of another size than annotated.

    Args:
        records: dataset dicts.
        image_root: the folder that is put before every file name.
        decode: decode every image; False = read only its header.
        progress: a wrapper of the iteration.
    """

    def look(record: dict) -> list[Problem]:
        record = {**record, "file_name": os.path.join(image_root, record["file_name"])}
        try:
            if decode:
                read_dataset_image(record)
            else:
                _check_header(record)
        except ImageFileError as error:
            return error.problems
        return []

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return [p for found in progress(pool.map(look, records), len(records)) for p in found]


def _check_header(record: dict) -> None:
    apply_exif = not record.get("ignore_exif", False)
    check_size(record, *image_size(record["file_name"], apply_exif=apply_exif))
