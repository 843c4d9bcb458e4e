"""Bounding boxes of the shapes that labelling tools draw, in pixels.

Every function returns the corners [x0, y0, x1, y1], and none checks that the shape has an area.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.datasets.records import MAX_COORDINATE, Findings

Corners = tuple[float, float, float, float]


def box_of_points(points: Iterable[Sequence[float]]) -> Corners:
    """Returns the box of one point or more, given as (x, y)."""
    xs, ys = zip(*points)
    return min(xs), min(ys), max(xs), max(ys)


def box_of_turned_rectangle(
    corners: Sequence[float], degrees: float, pivot: tuple[float, float]
) -> Corners:
    """The upright box around a rectangle that is turned clockwise, as seen, about a pivot."""
    x0, y0, x1, y1 = corners
    cos, sin = _cos_sin(degrees)
    offsets = [(x - pivot[0], y - pivot[1]) for x in (x0, x1) for y in (y0, y1)]
    return box_of_points(
        (pivot[0] + dx * cos - dy * sin, pivot[1] + dx * sin + dy * cos) for dx, dy in offsets
    )


def box_of_ellipse(
    center: tuple[float, float], radii: tuple[float, float], degrees: float
) -> Corners:
    """Returns the upright box around an ellipse that is turned about its center."""
    cos, sin = _cos_sin(degrees)
    width = math.hypot(radii[0] * cos, radii[1] * sin)
    height = math.hypot(radii[0] * sin, radii[1] * cos)
    x, y = center
    return x - width, y - height, x + width, y + height


def _cos_sin(degrees: float) -> tuple[float, float]:
    """Exact for right angles, so that a box that is turned by one keeps whole pixels."""
    exact = {0.0: (1.0, 0.0), 90.0: (0.0, 1.0), 180.0: (-1.0, 0.0), 270.0: (0.0, -1.0)}
    angle = degrees % 360
    return exact.get(angle) or (math.cos(math.radians(angle)), math.sin(math.radians(angle)))


def box_of_brush(rle: Sequence[int], width: int, height: int) -> Corners | None:
    """Returns the box of the painted pixels of Label Studio's brush; None if nothing is painted.

    The bytes are a bit stream (the format of rle-pack): the number of values in 32 bits, the bits
    of a value less 1 in 5, four lengths less 1 in 4 bits each; then, until all values are read, 1
    bit (1 = one value repeated, 0 = single values), 2 bits that choose a length, and in so many
    bits the count less 1. The values are the RGBA bytes of the image; alpha is what is painted.

    Raises:
        ValueError: it is no such stream, or is that of an image of another size.
    """
    bits = _Bits(rle)
    total, word = bits.read(32), bits.read(5) + 1
    lengths = [bits.read(4) + 1 for _ in range(4)]
    if total != 4 * width * height:
        raise ValueError(f"a mask of {total // 4} pixels, expected {width} x {height}")
    boxes, start = [], 0
    while start < total:
        repeated = bits.read(1)
        end = start + 1 + bits.read(lengths[bits.read(2)])
        if end > total:
            raise ValueError("a run beyond the end of the mask")
        if repeated:
            runs = [(start, end)] if bits.read(word) else []
        else:
            runs = [(i, i + 1) for i in range(start, end) if bits.read(word)]
        boxes += [box for s, e in runs if (box := _box_of_run(s, e, width))]
        start = end
    return _around(boxes)


def _box_of_run(start: int, end: int, width: int) -> Corners | None:
    """Returns the box of the pixels whose alpha byte lies in a run of RGBA bytes."""
    first, last = start // 4, end // 4 - 1
    if last < first:
        return None
    top, bottom = first // width, last // width
    left, right = (first % width, last % width) if top == bottom else (0, width - 1)
    return float(left), float(top), float(right + 1), float(bottom + 1)


def _around(boxes: Sequence[Corners]) -> Corners | None:
    if not boxes:
        return None
    return box_of_points([p for x0, y0, x1, y1 in boxes for p in ((x0, y0), (x1, y1))])


class _Bits:
    """Reads numbers from a list of bytes, the highest bit first."""

    def __init__(self, values: Sequence[int]) -> None:
        try:
            self._bytes = bytes(values)
        except (TypeError, ValueError):
            raise ValueError("a list of bytes, 0..255, is expected") from None
        self._position = 0

    def read(self, count: int) -> int:
        """Returns the next number of so many bits."""
        first, end = self._position // 8, self._position + count
        if end > 8 * len(self._bytes):
            raise ValueError("the mask ends early")
        last = -(-end // 8)
        number = int.from_bytes(self._bytes[first:last], "big") >> (8 * last - end)
        self._position = end
        return number & ((1 << count) - 1)


def add_box(
    corners: Corners,
    label: str,
    image_id: int,
    builder: DocumentBuilder,
    findings: Findings,
    at: str,
    *,
    cut: bool = False,
) -> int | None:
    """Adds a shape's box to the document; notes a problem if it is not a box in the image.

    Args:
        corners: of the box, in pixels.
        label: of the shape.
        image_id: of `builder.add_image`.
        builder: the document.
        findings: the problems of the export.
        at: the place in the record.
        cut: take only what lies in the image; a turned shape may reach beyond it.

    Returns:
        The id of the entity, or None.
    """
    image = builder.images[image_id - 1]
    width, height = image.get("width", MAX_COORDINATE), image.get("height", MAX_COORDINATE)
    x0, y0, x1, y1 = (float(v) for v in corners)
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        findings.add(at, [x0, y0, x1, y1], f"a {label} in the image, which is {width} x {height}")
        return None
    if cut:
        x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)
    if round(x1 - x0, 3) <= 0 or round(y1 - y0, 3) <= 0:
        size = f"{round(x1 - x0, 3)} x {round(y1 - y0, 3)} pixels"
        findings.add(at, size, f"a {label} with an area")
        return None
    return builder.add_entity(image_id, label, [x0, y0, x1 - x0, y1 - y0])
