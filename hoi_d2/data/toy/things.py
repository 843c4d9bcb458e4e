"""Draws the twelve kinds of objects of the toy world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hoi_d2.data.toy.art import Box, Canvas, Color, Point, darker


@dataclass(frozen=True)
class Thing:
    """An object in the scene: its kind, centre, size (its larger extent) and two colours, BGR.

    `angle` turns it about its centre (degrees, clockwise); `form` picks a variant that an action
    needs ("open" / "closed" umbrella or book, "upright" surfboard, "jump" horse).
    """

    kind: str
    center: Point
    size: float
    facing: int
    colors: tuple[Color, Color]
    angle: float = 0.0
    form: str = ""

    def points(self, local: Sequence[Point]) -> list[Point]:
        """Pixels of local coordinates (unit = size, centre 0, x towards `facing`)."""
        a = math.radians(self.angle)
        cos, sin, s = math.cos(a), math.sin(a), self.size
        (cx, cy), f = self.center, self.facing
        return [(cx + f * s * (x * cos - y * sin), cy + s * (x * sin + y * cos)) for x, y in local]

    def at(self, x: float, y: float) -> Point:
        """Returns the pixel of one local point."""
        return self.points([(x, y)])[0]

    @property
    def box(self) -> Box:
        """The tight box of the drawing, XYXY in pixels."""
        x0, y0, x1, y1 = EXTENTS[self.kind, self.form]
        corners = self.points([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        xs, ys = [p[0] for p in corners], [p[1] for p in corners]
        return min(xs), min(ys), max(xs), max(ys)


# (kind, form) -> local x0, y0, x1, y1: what the drawing below covers, so that boxes are tight.
EXTENTS: dict[tuple[str, str], Box] = {
    ("bicycle", ""): (-0.5, -0.34, 0.5, 0.30),
    ("horse", ""): (-0.5, -0.44, 0.5, 0.42),
    ("horse", "jump"): (-0.56, -0.44, 0.56, 0.34),
    ("chair", ""): (-0.32, -0.5, 0.32, 0.5),
    ("bench", ""): (-0.5, -0.22, 0.5, 0.22),
    ("sports ball", ""): (-0.5, -0.5, 0.5, 0.5),
    ("frisbee", ""): (-0.5, -0.2, 0.5, 0.2),
    ("umbrella", ""): (-0.5, -0.42, 0.5, 0.5),
    ("umbrella", "closed"): (-0.09, -0.5, 0.09, 0.5),
    ("suitcase", ""): (-0.5, -0.5, 0.5, 0.34),
    ("skateboard", ""): (-0.5, -0.1, 0.5, 0.14),
    ("surfboard", ""): (-0.5, -0.09, 0.5, 0.09),
    ("kite", ""): (-0.32, -0.5, 0.32, 0.5),
    ("book", ""): (-0.5, -0.36, 0.5, 0.36),
}


def draw_thing(canvas: Canvas, thing: Thing) -> None:
    """Draws an object; what it covers is `EXTENTS[kind, form]`."""
    _DRAW[thing.kind](canvas, thing)


def _bicycle(canvas: Canvas, t: Thing) -> None:
    frame, w = t.colors[0], 0.035 * t.size
    for x in (-0.3, 0.3):
        canvas.circle(t.at(x, 0.1), 0.185 * t.size, (35, 35, 35), w)
        canvas.circle(t.at(x, 0.1), 0.03 * t.size, (120, 120, 120))
    canvas.line(t.points([(-0.3, 0.1), (-0.12, -0.15), (0.22, -0.15), (0.0, 0.12)]), frame, w)
    canvas.line(t.points([(-0.3, 0.1), (0.0, 0.12), (-0.15, -0.25)]), frame, w)
    canvas.line(t.points([(0.3, 0.1), (0.2, -0.3), (0.32, -0.32)]), frame, w)
    canvas.line(t.points([(-0.24, -0.26), (-0.07, -0.26)]), (30, 30, 30), 1.6 * w)


def _horse(canvas: Canvas, t: Thing) -> None:
    coat, mane = t.colors[0], darker(t.colors[0], 0.5)
    w = 0.075 * t.size
    if t.form == "jump":
        legs = [(-0.26, -0.5, 0.3), (-0.2, -0.44, 0.3), (0.2, 0.42, 0.2), (0.26, 0.5, 0.2)]
    else:
        legs = [(-0.27, -0.3, 0.4), (-0.19, -0.17, 0.4), (0.15, 0.14, 0.4), (0.23, 0.25, 0.4)]
    for top, foot, bottom in legs:
        canvas.line(t.points([(top, 0.05), (foot, bottom)]), darker(coat, 0.85), w)
    canvas.line(t.points([(-0.28, -0.06), (-0.44, 0.16)]), mane, 0.6 * w)  # tail
    canvas.ellipse(t.at(-0.02, -0.03), (0.31 * t.size, 0.14 * t.size), t.angle * t.facing, coat)
    canvas.line(t.points([(0.22, -0.08), (0.34, -0.32)]), coat, 1.7 * w)
    canvas.line(t.points([(0.2, -0.18), (0.29, -0.39)]), mane, 0.5 * w)
    canvas.line(t.points([(0.33, -0.34), (0.45, -0.24)]), coat, 1.3 * w)
    canvas.line(t.points([(0.31, -0.37), (0.32, -0.43)]), coat, 0.5 * w)


def _chair(canvas: Canvas, t: Thing) -> None:
    c, w = t.colors[0], 0.075 * t.size
    for x in (-0.27, 0.27):
        canvas.line(t.points([(x, 0.06), (x, 0.47)]), darker(c), w)
    canvas.line(t.points([(-0.27, 0.06), (-0.27, -0.46)]), c, w)
    canvas.fill(t.points([(-0.3, -0.46), (-0.18, -0.46), (-0.18, -0.12), (-0.3, -0.12)]), c)
    canvas.fill(t.points([(-0.32, 0.0), (0.32, 0.0), (0.32, 0.1), (-0.32, 0.1)]), c)


def _bench(canvas: Canvas, t: Thing) -> None:
    c, w = t.colors[0], 0.04 * t.size
    for x in (-0.4, 0.4):
        canvas.line(t.points([(x, 0.03), (x, 0.2)]), darker(c, 0.5), w)
        canvas.line(t.points([(x, 0.0), (x, -0.2)]), darker(c, 0.5), 0.7 * w)
    for y in (-0.19, -0.1, 0.03):
        canvas.line(t.points([(-0.48, y), (0.48, y)]), c, 1.5 * w)


def _sports_ball(canvas: Canvas, t: Thing) -> None:
    a, b = t.colors
    canvas.circle(t.center, 0.5 * t.size, a)
    canvas.circle(t.center, 0.47 * t.size, darker(a, 0.55), 0.07 * t.size)
    canvas.fill(t.points([(-0.2, -0.1), (0.0, -0.25), (0.2, -0.1), (0.12, 0.16), (-0.12, 0.16)]), b)


def _frisbee(canvas: Canvas, t: Thing) -> None:
    a, b = t.colors
    angle = t.angle * t.facing
    canvas.ellipse(t.center, (0.5 * t.size, 0.2 * t.size), angle, a)
    canvas.ellipse(t.center, (0.32 * t.size, 0.1 * t.size), angle, b)


def _umbrella(canvas: Canvas, t: Thing) -> None:
    a, b = t.colors
    w = 0.035 * t.size
    if t.form == "closed":
        canvas.fill(t.points([(-0.08, -0.3), (0.08, -0.3), (0.0, 0.5)]), a)
        canvas.line(t.points([(0, -0.3), (0, -0.44), (0.07, -0.48)]), (40, 40, 40), 1.4 * w)
        return
    canvas.line(t.points([(0, -0.3), (0, 0.44), (0.06, 0.49)]), (50, 50, 50), w)
    rim = [(0.5 * math.cos(math.pi * k / 8), -0.42 * math.sin(math.pi * k / 8)) for k in range(9)]
    canvas.fill(t.points(rim), a)
    canvas.fill(t.points([rim[3], rim[4], rim[5], (-0.12, 0.0), (0.12, 0.0)]), b)


def _suitcase(canvas: Canvas, t: Thing) -> None:
    a, b = t.colors
    w = 0.07 * t.size
    canvas.line(t.points([(-0.14, -0.3), (-0.14, -0.47), (0.14, -0.47), (0.14, -0.3)]), b, w)
    canvas.fill(t.points([(-0.5, -0.3), (0.5, -0.3), (0.5, 0.34), (-0.5, 0.34)]), a)
    for x in (-0.28, 0.28):
        canvas.line(t.points([(x, -0.28), (x, 0.32)]), b, 1.2 * w)


def _skateboard(canvas: Canvas, t: Thing) -> None:
    canvas.line(
        t.points([(-0.47, -0.08), (-0.34, 0), (0.34, 0), (0.47, -0.08)]), t.colors[0], 0.08 * t.size
    )
    for x in (-0.28, 0.28):
        canvas.circle(t.at(x, 0.08), 0.07 * t.size, (40, 40, 40))


def _surfboard(canvas: Canvas, t: Thing) -> None:
    a, b = t.colors
    shape = [(0.5 * math.cos(math.pi * k / 8), 0.09 * math.sin(math.pi * k / 8)) for k in range(16)]
    canvas.fill(t.points(shape), a)
    canvas.line(t.points([(-0.45, 0), (0.45, 0)]), b, 0.03 * t.size)


def _kite(canvas: Canvas, t: Thing) -> None:
    a, b = t.colors
    canvas.fill(t.points([(0, -0.5), (0.32, -0.15), (0, 0.25), (-0.32, -0.15)]), a)
    canvas.fill(t.points([(0, -0.5), (0.32, -0.15), (0, -0.15)]), b)
    canvas.fill(t.points([(0, 0.25), (-0.32, -0.15), (0, -0.15)]), b)
    canvas.line(t.points([(0, 0.25), (0.08, 0.33), (-0.08, 0.41), (0.03, 0.49)]), b, 0.04 * t.size)


def _book(canvas: Canvas, t: Thing) -> None:
    a, b = t.colors
    canvas.fill(t.points([(-0.5, -0.36), (0.5, -0.36), (0.5, 0.36), (-0.5, 0.36)]), a)
    canvas.fill(
        t.points([(-0.42, -0.28), (0.42, -0.28), (0.42, 0.28), (-0.42, 0.28)]), (235, 240, 245)
    )
    canvas.line(t.points([(0, -0.36), (0, 0.36)]), a, 0.08 * t.size)
    for y in (-0.14, 0.0, 0.14):
        canvas.line(t.points([(-0.34, y), (-0.1, y)]), b, 0.05 * t.size)
        canvas.line(t.points([(0.1, y), (0.34, y)]), b, 0.05 * t.size)


_DRAW = {
    "bicycle": _bicycle,
    "horse": _horse,
    "chair": _chair,
    "bench": _bench,
    "sports ball": _sports_ball,
    "frisbee": _frisbee,
    "umbrella": _umbrella,
    "suitcase": _suitcase,
    "skateboard": _skateboard,
    "surfboard": _surfboard,
    "kite": _kite,
    "book": _book,
}
