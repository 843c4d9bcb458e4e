"""Finds the broken records of a data file and their errors, for tools/validate_data.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hoi_d2.data.datasets.checks import check_names
from hoi_d2.data.datasets.hico import read_hico
from hoi_d2.data.datasets.hico_det import is_qpic_form, is_upt_form, read_hico_det
from hoi_d2.data.datasets.hoi_json import is_hoi_json, read_hoi_json
from hoi_d2.data.datasets.mpii import read_mpii
from hoi_d2.data.datasets.odgt_form import is_odgt
from hoi_d2.data.datasets.records import (
    NO_OBJECT,
    DataFormatError,
    Findings,
    Problem,
    file_problem,
    parse_json,
    paused_gc,
    read_text,
)
from hoi_d2.data.datasets.vcoco import is_official_form, read_vcoco
from hoi_d2.data.images import ImageFileError, check_size, image_size, read_dataset_image

SUFFIXES = (".json", ".odgt", ".mat")
FORMATS = ("hico_det", "vcoco", "hico", "mpii", "hoi_json")
Progress = Callable[[Iterator, int], Iterator]


class UnknownFormError(DataFormatError):
    """A valid file holds no annotations of a known format."""


@dataclass
class Report:
    """The result of checking one file.

    Args:
        file: the path of the file.
        format: one of FORMATS; empty if it is none of them.
        images, entities, interactions, no_object: the number of each; `no_object` counts
            the interactions without a visible object.
        problems: all errors, flaws and notes.
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
        """Whether the file has no errors and no flaws; notes do not count."""
        return all(p.level == "note" for p in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON data."""
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
    if not records and not report.problems:
        report.problems = [Problem(report.file, "", "images", 0, "at least one", "flaw")]
    root = _find_images(records, report.file) if image_root is None else os.fspath(image_root)
    if root is not None:
        report.images_checked = len(records)
        report.problems += check_images(records, root, decode=decode, progress=progress)
    return report


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
    if is_odgt(text):
        return "vcoco"
    data = parse_json(text, path)
    if is_official_form(data) or (isinstance(data, dict) and "action_to_object" in data):
        return "vcoco"
    if is_hoi_json(data):
        return "hoi_json"
    if isinstance(data, dict) and "activities" in data:
        return "mpii"
    if is_upt_form(data):
        return "hico_det"
    if is_qpic_form(data):
        return "vcoco" if _is_of_coco(data) else "hico_det"
    found = list(data)[:6] if isinstance(data, dict) else type(data).__name__
    raise _unknown(path, "content", found, f"one of {', '.join(FORMATS)} (--format sets it)")


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


def _is_of_coco(data: list) -> bool:
    """Whether a file in QPIC's form is V-COCO, whose images are COCO's, and not HICO-DET."""
    names = [str(r.get("file_name")) for r in data[:50] if isinstance(r, dict)]
    return not any("HICO" in n for n in names) and any("COCO" in n for n in names)


def _mat_format(path: str | os.PathLike) -> str:
    from scipy.io import whosmat  # slow to import

    if not os.path.isfile(path):
        raise FileNotFoundError(f"no such annotation file: {os.fspath(path)}")
    try:
        names = {entry[0] for entry in whosmat(os.fspath(path))}
    except Exception as error:  # scipy raises many kinds of errors for damaged files
        what = f"{type(error).__name__}: {error}"
        raise file_problem(path, "content", what, "a MATLAB file (version 7 or older)") from error
    for variable, name in (("bbox_", "hico_det"), ("anno_", "hico"), ("RELEASE", "mpii")):
        if any(n.startswith(variable) for n in names):
            return name
    expected = "bbox_train (HICO-DET), anno_train (HICO) or RELEASE (MPII)"
    raise _unknown(path, "variables", sorted(names), expected)


def _read(report: Report, coco_annotations: Sequence[str]) -> tuple[list[dict], list[Problem]]:
    """All records that can be checked further, and all problems."""
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
    """The records of each split in the file; names must be unique within one split."""
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
    else:
        yield read_hoi_json(findings, "")


def _count(report: Report, records: Sequence[dict]) -> None:
    report.images = len(records)
    report.entities = sum(len(r["annotations"]) for r in records)
    pairs = [p for r in records for p in r["hoi_annotations"]]
    report.interactions = len(pairs)
    report.no_object = sum(p["object"] == NO_OBJECT for p in pairs)


def _find_images(records: Sequence[dict], file: str) -> str | None:
    """The file's own folder, or `images` in it, if it has any of the first images."""
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
