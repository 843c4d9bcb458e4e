"""The regions of a Label Studio task: their labels, and the bounding boxes of their shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.converters.shapes import (
    Corners,
    box_of_brush,
    box_of_ellipse,
    box_of_points,
    box_of_turned_rectangle,
)
from hoi_d2.data.datasets.records import Findings

Size = tuple[int, int]
_NO_BOX = {
    "keypoint": "a key point has no box",
    "bitmask": "a bit mask is an image in the export; draw it with the brush",
}


@dataclass
class Region:
    """The results of one region id.

    Attributes:
        at: where the shape is in the task.
        shape: `rectangle`, `polygon`, ...; "" = no result of this id has a shape.
        value: the values of the shape.
        size: the image size in the result.
        turned: rotation of the image in degrees when the region was drawn.
        labels: the labels of all its results.
    """

    at: str
    shape: str = ""
    value: dict[str, Any] = field(default_factory=dict)
    size: tuple[Any, Any] = (None, None)
    turned: float = 0.0
    labels: list[Any] = field(default_factory=list)


def read_regions(
    results: list[dict], builder: DocumentBuilder, findings: Findings
) -> dict[str, Region]:
    """Returns region id -> region; a rectangle and its label can be two results of one id."""
    regions: dict[str, Region] = {}
    for i, result in enumerate(results):
        kind, value, at = result.get("type"), result.get("value"), f"result[{i}]"
        if kind == "relation":
            continue
        if not isinstance(kind, str) or not isinstance(value, dict):
            findings.add(at, result, "an object with `type` and `value`")
            continue
        shape = kind.removesuffix("labels")
        if not (shape in SHAPES or kind.endswith("labels")):
            builder.notes[f"results of the type {kind!r}, which have no box and were not used"] += 1
            continue
        ident = result.get("id")
        region = regions.setdefault(at if ident is None else str(ident), Region(at))
        labels = value.get(kind, [])
        region.labels += labels if isinstance(labels, list) else [labels]
        if shape and _sets_shape(region, shape, value, at, ident, findings):
            region.size = result.get("original_width"), result.get("original_height")
            region.turned = _number(result.get("image_rotation") or 0) or 0.0
    return regions


def _sets_shape(
    region: Region, shape: str, value: dict, at: str, ident: Any, findings: Findings
) -> bool:
    """Sets the shape of a region; a second, different shape of the same id is a problem."""
    plain = {k: v for k, v in value.items() if not k.endswith("labels")}
    if not region.shape:
        region.at, region.shape, region.value = at, shape, plain
        return True
    if (region.shape, region.value) != (shape, plain):
        findings.add(f"{at}.id", ident, f"a unique id; {region.at} has the same")
    return False


def why_left_out(region: Region) -> str:
    """Why a region cannot become a box; "" if it can."""
    if not region.shape:
        return "a label without a shape"
    if region.shape not in SHAPES or region.shape in _NO_BOX:
        return _NO_BOX.get(region.shape, f"the shape {region.shape!r} has no box")
    if region.turned % 360:
        return (
            f"drawn while the image was turned by {region.turned:g} degrees (image_rotation); turn "
            "it back in Label Studio and save the task again"
        )
    if not region.labels:
        return f"a {region.shape} without a label"
    if region.shape == "brush" and not isinstance(region.value.get("rle"), list):
        return "a mask without `rle`; export it again as JSON"
    return ""


def box_of_region(region: Region, size: Size, findings: Findings) -> tuple[Corners, bool] | None:
    """The corners in pixels, and whether they surround another shape; None after a problem."""
    found = SHAPES[region.shape](region.value, size, f"{region.at}.value", findings)
    exact = region.shape == "rectangle" and not (_number(region.value.get("rotation")) or 0) % 90
    return None if found is None else (found, not exact)


def _rectangle(value: dict, size: Size, at: str, findings: Findings) -> Corners | None:
    numbers = _numbers(value, ("x", "y", "width", "height"), at, findings)
    if numbers is None:
        return None
    x, y, w, h = (n * s / 100 for n, s in zip(numbers, size * 2))
    return box_of_turned_rectangle((x, y, x + w, y + h), _rotation(value), (x, y))


def _ellipse(value: dict, size: Size, at: str, findings: Findings) -> Corners | None:
    numbers = _numbers(value, ("x", "y", "radiusX", "radiusY"), at, findings)
    if numbers is None:
        return None
    x, y, rx, ry = (n * s / 100 for n, s in zip(numbers, size * 2))
    return box_of_ellipse((x, y), (rx, ry), _rotation(value))


def _polygon(value: dict, size: Size, at: str, findings: Findings) -> Corners | None:
    points = value.get("points")
    pairs = [p if isinstance(p, list) else [] for p in points] if isinstance(points, list) else []
    if not pairs or not all(len(p) == 2 and all(map(_is_per_cent, p)) for p in pairs):
        findings.add(f"{at}.points", points, "points [x, y] in per cent")
        return None
    return box_of_points([(x * size[0] / 100, y * size[1] / 100) for x, y in pairs])


def _vector(value: dict, size: Size, at: str, findings: Findings) -> Corners | None:
    vertices = value.get("vertices")
    if isinstance(vertices, list) and all(isinstance(v, dict) for v in vertices):
        value = {"points": [[v.get("x"), v.get("y")] for v in vertices]}
    return _polygon(value, size, at, findings)


def _brush(value: dict, size: Size, at: str, findings: Findings) -> Corners | None:
    try:
        found = box_of_brush(value["rle"], *size)
    except ValueError as error:
        findings.add(f"{at}.rle", str(error), "a mask of the image")
        return None
    if found is None:
        findings.add(f"{at}.rle", "nothing painted", "a painted mask")
    return found


def _no_shape(value: dict, size: Size, at: str, findings: Findings) -> None:
    raise AssertionError("regions without a shape are left out earlier")


SHAPES: dict[str, Callable[[dict, Size, str, Findings], Corners | None]] = {
    "rectangle": _rectangle,
    "ellipse": _ellipse,
    "polygon": _polygon,
    "vector": _vector,
    "brush": _brush,
    "keypoint": _no_shape,
    "bitmask": _no_shape,
}


def _numbers(value: dict, keys: tuple[str, ...], at: str, findings: Findings) -> list[float] | None:
    numbers: list[Any] = [value.get(k) for k in keys]
    if all(map(_is_per_cent, numbers)):
        return numbers
    findings.add(at, value, f"{', '.join(keys)} in per cent")
    return None


def _is_per_cent(value: Any) -> bool:
    return type(value) in (int, float) and -1e4 < value < 1e4


def _rotation(value: dict) -> float:
    return _number(value.get("rotation")) or 0.0


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and abs(value) < 1e6 else None
