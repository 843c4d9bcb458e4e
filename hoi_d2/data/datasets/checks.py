"""Checks records for the flaws that `hoi-d2 data validate` reports."""

from __future__ import annotations

from collections.abc import Sequence

from hoi_d2.data.datasets.records import NO_OBJECT, Findings

TOLERANCE = 1.0
"""Pixels that a box may extend beyond its image, due to rounding and the two pixel conventions."""


def check_record(
    record: dict,
    findings: Findings,
    entity_fields: Sequence[str],
    pair_fields: Sequence[str],
    *,
    duplicates: str = "flaw",
) -> None:
    """Notes the flaws of one record.

    Args:
        record: a dataset dict; the `category_id` of broken entities is None.
        findings: the problems of the file.
        entity_fields: the place of each entity's box in the file.
        pair_fields: the place of each interaction in the file.
        duplicates: the level of a repeated interaction.
    """
    width, height = record.get("width"), record.get("height")
    for entity, field in zip(record["annotations"], entity_fields):
        if entity["category_id"] is None or len(entity["bbox"]) != 4:
            continue  # already reported as an error
        x0, y0, x1, y1 = entity["bbox"]
        if x1 <= x0 or y1 <= y0:
            findings.add(field, entity["bbox"], "a box with an area (XYXY)", level="flaw")
        elif max(-x0, -y0) > TOLERANCE or _beyond(x1, width) or _beyond(y1, height):
            size = "" if width is None else f", which is {width} x {height}"
            what = f"a box (0-based XYXY) in the image{size}"
            findings.add(field, entity["bbox"], what, level="flaw")
    _check_pairs(record, findings, pair_fields, duplicates)


def _beyond(last: float, length: int | None) -> bool:
    return length is not None and last - length > TOLERANCE


def _check_pairs(
    record: dict, findings: Findings, pair_fields: Sequence[str], duplicates: str
) -> None:
    first: dict[tuple[int, int, int], str] = {}
    for pair, field in zip(record["hoi_annotations"], pair_fields):
        human, obj, verb = pair["human"], pair["object"], pair["verb"]
        shown = {"human": human, "object": obj, "verb": verb}
        if obj != NO_OBJECT and human == obj:
            findings.add(field, shown, "an object other than the human itself", level="flaw")
        before = first.setdefault((human, obj, verb), field)
        if before is not field:
            what = f"an interaction that is not repeated; it equals {before}"
            findings.add(field, shown, what, level=duplicates)


def check_names(records: Sequence[dict], findings: Findings) -> None:
    """Notes repeated images, and names with Windows' separators."""
    findings.record = ""
    for key in ("file_name", "image_id"):
        first: dict = {}
        for index, record in enumerate(records):
            if key == "file_name" and "\\" in record[key]:
                findings.record = f"record {index}"
                what = f"folders separated by '/': {record[key].replace(chr(92), '/')!r}"
                findings.add(key, record[key], what, level="flaw")
            before = first.setdefault(record[key], index)
            if before != index:
                findings.record = f"record {index}"
                what = f"an image that is not repeated; it equals record {before}"
                findings.add(key, record[key], what, level="flaw")
    findings.record = ""
