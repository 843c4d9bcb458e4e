"""The shapes of an image in CVAT's export, as bounding boxes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element

from hoi_d2.data.converters.shapes import (
    Corners,
    box_of_ellipse,
    box_of_points,
    box_of_turned_rectangle,
)
from hoi_d2.data.datasets.records import MAX_COORDINATE, Findings

_CUBOID = ("xtl1", "xbl1", "xtr1", "xbr1", "xtl2", "xbl2", "xtr2", "xbr2")


def number(value: Any) -> Any:
    """Returns a finite number, or the value as it is."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return value
    return found if abs(found) <= MAX_COORDINATE else value


def whole(value: str | None) -> Any:
    """A whole number, or the value as it is; no image has more than nine digits of pixels."""
    found = number(value) if value and len(value) < 20 else value
    return int(found) if isinstance(found, float) and found.is_integer() else found


def why_left_out(element: Element) -> str:
    """Why an element cannot become a box; "" if it can."""
    if element.tag == "tag":
        return "a tag is about the whole image and has no box"
    if element.tag == "points" and ";" not in (element.get("points") or ""):
        return "a single point has no box"
    return "" if element.tag in SHAPES else f"the shape {element.tag!r} has no box"


def corners_of(element: Element, at: str, findings: Findings) -> tuple[Corners, bool] | None:
    """Returns the corners, and whether they surround another shape; None after a problem."""
    found = SHAPES[element.tag](element, at, findings)
    if found is None:
        return None
    exact = element.tag == "mask" or (element.tag == "box" and not _rotation(element) % 90)
    return found, not exact


def _box(element: Element, at: str, findings: Findings) -> Corners | None:
    written = [number(element.get(k)) for k in ("xtl", "ytl", "xbr", "ybr")]
    box = findings.box(written, at)
    if box is None or not _is_rotation(element, at, findings):
        return None
    center = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return box_of_turned_rectangle(box, _rotation(element), center)


def _ellipse(element: Element, at: str, findings: Findings) -> Corners | None:
    numbers = _attributes(element, ("cx", "cy", "rx", "ry"), at, findings)
    if numbers is None or not _is_rotation(element, at, findings):
        return None
    cx, cy, rx, ry = numbers
    return box_of_ellipse((cx, cy), (rx, ry), _rotation(element))


def _mask(element: Element, at: str, findings: Findings) -> Corners | None:
    numbers = _attributes(element, ("left", "top", "width", "height"), at, findings)
    if numbers is None:
        return None
    left, top, width, height = numbers
    return left, top, left + width, top + height


def _cuboid(element: Element, at: str, findings: Findings) -> Corners | None:
    keys = [k for x in _CUBOID for k in (x, x.replace("x", "y", 1))]
    numbers = _attributes(element, tuple(keys), at, findings)
    return None if numbers is None else box_of_points(zip(numbers[::2], numbers[1::2]))


def _polygon(element: Element, at: str, findings: Findings) -> Corners | None:
    points = _points(element)
    if points is None:
        findings.add(f"{at}.points", element.get("points"), "points `x,y;x,y`")
        return None
    return box_of_points(points)


def _skeleton(element: Element, at: str, findings: Findings) -> Corners | None:
    """Returns the box of the joints that are in the image."""
    joints = [j for j in element.iterfind("points") if j.get("outside") != "1"]
    points = [p for joint in joints for p in (_points(joint) or [])]
    if not points or not all(map(_points, joints)):
        findings.add(at, len(joints), "a skeleton with joints `x,y` in the image")
        return None
    return box_of_points(points)


SHAPES: dict[str, Callable[[Element, str, Findings], Corners | None]] = {
    "box": _box,
    "cuboid": _cuboid,
    "ellipse": _ellipse,
    "mask": _mask,
    "points": _polygon,
    "polygon": _polygon,
    "polyline": _polygon,
    "skeleton": _skeleton,
}


def _points(element: Element) -> list[tuple[float, float]] | None:
    pairs = [part.split(",") for part in (element.get("points") or "").split(";")]
    numbers = [[number(value) for value in pair] for pair in pairs]
    if all(len(pair) == 2 and all(map(_is_number, pair)) for pair in numbers):
        return [(pair[0], pair[1]) for pair in numbers]
    return None


def _attributes(
    element: Element, keys: tuple[str, ...], at: str, findings: Findings
) -> list[float] | None:
    numbers = [number(element.get(k)) for k in keys]
    if all(map(_is_number, numbers)):
        return numbers
    findings.add(at, dict(element.attrib), f"{', '.join(keys)} as numbers")
    return None


def _is_rotation(element: Element, at: str, findings: Findings) -> bool:
    sound = _is_number(number(element.get("rotation") or 0))
    if not sound:
        findings.add(f"{at}.rotation", element.get("rotation"), "degrees")
    return sound


def _rotation(element: Element) -> float:
    return number(element.get("rotation") or 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)
