"""Detects annotation files whose boxes are in other units than pixels.

A single box can be anywhere in an image; these checks look at all boxes of a file together and
report what looks wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from hoi_d2.data.datasets.records import Findings

_MANY = 20
"""Minimum number of boxes for these checks."""

Sizes = Sequence[tuple[int, int] | None]


def suspect_boxes(records: Sequence[dict], sizes: Sizes, findings: Findings) -> None:
    """Reports boxes in 0..1, in XYXY instead of XYWH, and for another image size.

    Args:
        records: dataset dicts with sound boxes, XYXY.
        sizes: width and height of each image, None = unknown.
        findings: the problems of the file.
    """
    findings.record = ""
    boxes = [
        (box, size)
        for record, size in zip(records, sizes)
        for entity in record["annotations"]
        if len(box := entity["bbox"]) == 4
    ]
    if not boxes or _suspect_shares(records, sizes, findings):
        return
    known = [(box, size) for box, size in boxes if size is not None]
    if not _suspect_corners(boxes, known, findings):
        _suspect_other_size(known, findings)


def _suspect_shares(records: Sequence[dict], sizes: Sizes, findings: Findings) -> bool:
    """Boxes in 0..1: a flaw for the file, since no image has all its boxes in its first pixel."""
    found = [r for r, size in zip(records, sizes) if _in_one_pixel(r["annotations"], size)]
    with_boxes = sum(bool(r["annotations"]) for r in records)
    if not found:
        return False
    first = found[0]["annotations"][0]["bbox"]
    where = f"in {len(found)} of {with_boxes} images all boxes lie in 0..1"
    what = f"pixels; {where}, as if they were shares of the width and height (first XYXY shown)"
    findings.add("boxes", [round(v, 4) for v in first], what, level="flaw")
    return True


def _in_one_pixel(entities: Sequence[dict], size: tuple[int, int] | None) -> bool:
    """Returns whether all boxes lie in 0..1; inclusive pixels may have made 1 a 2, or 0 a -1."""
    if size is not None and min(size) <= 4:
        return False
    corners = [e["bbox"] for e in entities if len(e["bbox"]) == 4]
    if not corners or not all(-1 <= v <= 2 for box in corners for v in box):
        return False
    sizes = [(box[2] - box[0], box[3] - box[1]) for box in corners]
    fractions = any(v != int(v) for box in corners for v in box)
    return fractions and all(w <= 2 and h <= 2 for w, h in sizes)


def _suspect_corners(boxes: list, known: list, findings: Findings) -> bool:
    """Boxes [x0, y0, x1, y1] in a form that wants [x, y, w, h]."""
    written = [(x0, y0, x1 - x0, y1 - y0) for (x0, y0, x1, y1), _ in boxes]
    if not all(w > x and h > y for x, y, w, h in written):
        return False
    beyond = [box for box, size in known if box[2] > size[0] + 1 or box[3] > size[1] + 1]
    fit = all(x1 - x0 <= w + 1 and y1 - y0 <= h + 1 for (x0, y0, x1, y1), (w, h) in known)
    if known and not (beyond and fit):
        return False
    if not known and len(boxes) < _MANY:
        return False
    so_far = f"{len(beyond)} of {len(known)} boxes reach beyond their image" if known else "all do"
    what = f"[x, y, w, h]; these look like corners [x0, y0, x1, y1], which would fit: {so_far}"
    findings.add("boxes", list(written[0]), what, level="warning")
    return True


def _suspect_other_size(known: list, findings: Findings) -> None:
    """Boxes of a larger or smaller copy of the images."""
    if not known:
        return
    right = max(box[2] / size[0] for box, size in known)
    bottom = max(box[3] / size[1] for box, size in known)
    beyond = sum(box[2] > 1.05 * size[0] or box[3] > 1.05 * size[1] for box, size in known)
    if 2 * beyond >= len(known):
        what = (
            f"boxes in pixels of these images; {beyond} of {len(known)} reach beyond them, as if "
            "annotated on a larger copy"
        )
        reach = f"up to {max(right, bottom):.2f} times the size"
        findings.add("boxes", reach, what, level="warning")
    elif len(known) >= _MANY and max(right, bottom) <= 0.6:
        what = (
            f"boxes in pixels of these images; all {len(known)} lie in the left upper "
            f"{right:.0%} x {bottom:.0%}, as if annotated on a smaller copy"
        )
        findings.add("boxes", f"{right:.2f} x {bottom:.2f} of the size", what, level="warning")
