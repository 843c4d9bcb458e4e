"""Draws the toy world with OpenCV: articulated people and twelve objects.

Everything is in pixels, y down. Angles of limbs are in degrees: 0 hangs down, 90 points the way the
person faces, 180 points up, negative is backwards. `facing` is +1 (right) or -1 (left).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Point = tuple[float, float]
Color = tuple[int, int, int]
Box = tuple[float, float, float, float]

_SHIFT = 4  # OpenCV draws at 1/16 pixel
_HEAD, _TORSO, _UPPER_ARM, _FOREARM, _THIGH, _SHIN = 0.085, 0.33, 0.17, 0.17, 0.235, 0.235


@dataclass(frozen=True)
class Pose:
    """Angles of a body: lean of the torso (90 = lying forward), two arms and two legs."""

    lean: float
    arms: tuple[tuple[float, float], tuple[float, float]]
    legs: tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Clothes:
    """Colours of a person, BGR."""

    skin: Color
    hair: Color
    shirt: Color
    trousers: Color


@dataclass(frozen=True)
class Body:
    """A posed person: joints in pixels. `height` is the person's height standing straight."""

    height: float
    facing: int
    hip: Point
    neck: Point
    head: Point
    arms: tuple[tuple[Point, Point], ...]  # (elbow, hand) of each arm
    legs: tuple[tuple[Point, Point], ...]  # (knee, foot) of each leg

    @property
    def hands(self) -> tuple[Point, Point]:
        """Of the near and of the far arm."""
        return self.arms[0][1], self.arms[1][1]

    @property
    def feet(self) -> tuple[Point, Point]:
        """Of the near and of the far leg."""
        return self.legs[0][1], self.legs[1][1]

    @property
    def box(self) -> Box:
        """XYXY in pixels, about limbs and head with their thickness."""
        h = self.height
        joints = [self.hip, self.neck, *(p for limb in (*self.arms, *self.legs) for p in limb)]
        r, pad = _HEAD * h * 1.1, 0.03 * h
        xs, ys = [p[0] for p in joints], [p[1] for p in joints]
        hx, hy = self.head
        return (
            min(min(xs) - pad, hx - r),
            min(min(ys) - pad, hy - r),
            max(max(xs) + pad, hx + r),
            max(max(ys) + pad, hy + r),
        )


def _step(start: Point, angle: float, length: float, facing: int) -> Point:
    a = math.radians(angle)
    return start[0] + facing * math.sin(a) * length, start[1] + math.cos(a) * length


def _limb(
    start: Point, angles: Sequence[float], lengths: Sequence[float], facing: int
) -> tuple[Point, Point]:
    middle = _step(start, angles[0], lengths[0], facing)
    return middle, _step(middle, angles[1], lengths[1], facing)


def place_body(pose: Pose, height: float, facing: int, hip: Point) -> Body:
    """Returns the joints of a person whose hip is at `hip`."""
    neck = _step(hip, 180 - pose.lean, _TORSO * height, facing)
    shoulder = _step(hip, 180 - pose.lean, 0.9 * _TORSO * height, facing)
    head = _step(neck, 180 - 0.8 * pose.lean, 1.15 * _HEAD * height, facing)
    arm, leg = (_UPPER_ARM * height, _FOREARM * height), (_THIGH * height, _SHIN * height)
    return Body(
        height,
        facing,
        hip,
        neck,
        head,
        tuple(_limb(shoulder, angles, arm, facing) for angles in pose.arms),
        tuple(_limb(hip, angles, leg, facing) for angles in pose.legs),
    )


def standing_hip(pose: Pose, height: float, ground: float) -> float:
    """Returns the y of the hip that puts the lower foot on the ground."""
    reach = max(
        math.cos(math.radians(t)) * _THIGH + math.cos(math.radians(s)) * _SHIN for t, s in pose.legs
    )
    return ground - max(reach, 0.06) * height


class Canvas:
    """An image that is drawn on, BGR uint8; every primitive is anti-aliased."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image

    def line(
        self, points: Sequence[Point], color: Color, width: float, closed: bool = False
    ) -> None:
        """Through all points; `width` in pixels."""
        fixed = (np.asarray(points, dtype=np.float64) * (1 << _SHIFT)).astype(np.int32)
        width = max(1, round(width))
        cv2.polylines(self.image, [fixed], closed, color, width, cv2.LINE_AA, _SHIFT)

    def fill(self, points: Sequence[Point], color: Color) -> None:
        """A polygon."""
        fixed = (np.asarray(points, dtype=np.float64) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(self.image, [fixed], color, cv2.LINE_AA, _SHIFT)

    def circle(self, center: Point, radius: float, color: Color, width: float = -1) -> None:
        """A ring of that line width; filled where it is negative."""
        scale = 1 << _SHIFT
        center = round(center[0] * scale), round(center[1] * scale)
        width = -1 if width < 0 else max(1, round(width))
        cv2.circle(self.image, center, round(radius * scale), color, width, cv2.LINE_AA, _SHIFT)

    def ellipse(self, center: Point, axes: Point, angle: float, color: Color) -> None:
        """Filled; `axes` are half the width and half the height, `angle` turns it clockwise."""
        scale = 1 << _SHIFT
        center = round(center[0] * scale), round(center[1] * scale)
        axes = max(1, round(axes[0] * scale)), max(1, round(axes[1] * scale))
        cv2.ellipse(self.image, center, axes, angle, 0, 360, color, -1, cv2.LINE_AA, _SHIFT)


def _darker(color: Color, factor: float = 0.72) -> Color:
    blue, green, red = (int(c * factor) for c in color)
    return blue, green, red


def draw_body(canvas: Canvas, body: Body, clothes: Clothes) -> None:
    """Draws a person: far limbs darker and first, then torso, head, near limbs."""
    limb = 0.058 * body.height

    def draw_limb(start: Point, joints: tuple[Point, Point], upper: Color, lower: Color) -> None:
        canvas.line([start, joints[0]], upper, limb)
        canvas.line(joints, lower, limb * 0.85)

    x, y = (0.9 * n + 0.1 * p for n, p in zip(body.neck, body.hip))
    shoulder = x, y
    shirt, trousers, skin = clothes.shirt, clothes.trousers, clothes.skin
    draw_limb(shoulder, body.arms[1], _darker(shirt), _darker(skin))
    draw_limb(body.hip, body.legs[1], _darker(trousers), _darker(trousers))
    canvas.line([body.hip, shoulder], shirt, 0.13 * body.height)
    draw_limb(body.hip, body.legs[0], trousers, trousers)
    for leg in body.legs:  # shoes point the way the person faces
        foot = leg[1]
        toe = foot[0] + body.facing * 0.055 * body.height, foot[1]
        canvas.line([foot, toe], (30, 30, 30), limb * 0.8)
    radius = _HEAD * body.height
    hx, hy = body.head
    canvas.circle((hx - body.facing * 0.2 * radius, hy - 0.15 * radius), radius, clothes.hair)
    canvas.circle((hx + body.facing * 0.12 * radius, hy + 0.08 * radius), 0.88 * radius, skin)
    draw_limb(shoulder, body.arms[0], shirt, skin)
    for hand in body.hands:
        canvas.circle(hand, 0.03 * body.height, skin)


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
    coat, mane = t.colors[0], _darker(t.colors[0], 0.5)
    w = 0.075 * t.size
    if t.form == "jump":
        legs = [(-0.26, -0.5, 0.3), (-0.2, -0.44, 0.3), (0.2, 0.42, 0.2), (0.26, 0.5, 0.2)]
    else:
        legs = [(-0.27, -0.3, 0.4), (-0.19, -0.17, 0.4), (0.15, 0.14, 0.4), (0.23, 0.25, 0.4)]
    for top, foot, bottom in legs:
        canvas.line(t.points([(top, 0.05), (foot, bottom)]), _darker(coat, 0.85), w)
    canvas.line(t.points([(-0.28, -0.06), (-0.44, 0.16)]), mane, 0.6 * w)  # tail
    canvas.ellipse(t.at(-0.02, -0.03), (0.31 * t.size, 0.14 * t.size), t.angle * t.facing, coat)
    canvas.line(t.points([(0.22, -0.08), (0.34, -0.32)]), coat, 1.7 * w)
    canvas.line(t.points([(0.2, -0.18), (0.29, -0.39)]), mane, 0.5 * w)
    canvas.line(t.points([(0.33, -0.34), (0.45, -0.24)]), coat, 1.3 * w)
    canvas.line(t.points([(0.31, -0.37), (0.32, -0.43)]), coat, 0.5 * w)


def _chair(canvas: Canvas, t: Thing) -> None:
    c, w = t.colors[0], 0.075 * t.size
    for x in (-0.27, 0.27):
        canvas.line(t.points([(x, 0.06), (x, 0.47)]), _darker(c), w)
    canvas.line(t.points([(-0.27, 0.06), (-0.27, -0.46)]), c, w)
    canvas.fill(t.points([(-0.3, -0.46), (-0.18, -0.46), (-0.18, -0.12), (-0.3, -0.12)]), c)
    canvas.fill(t.points([(-0.32, 0.0), (0.32, 0.0), (0.32, 0.1), (-0.32, 0.1)]), c)


def _bench(canvas: Canvas, t: Thing) -> None:
    c, w = t.colors[0], 0.04 * t.size
    for x in (-0.4, 0.4):
        canvas.line(t.points([(x, 0.03), (x, 0.2)]), _darker(c, 0.5), w)
        canvas.line(t.points([(x, 0.0), (x, -0.2)]), _darker(c, 0.5), 0.7 * w)
    for y in (-0.19, -0.1, 0.03):
        canvas.line(t.points([(-0.48, y), (0.48, y)]), c, 1.5 * w)


def _sports_ball(canvas: Canvas, t: Thing) -> None:
    a, b = t.colors
    canvas.circle(t.center, 0.5 * t.size, a)
    canvas.circle(t.center, 0.47 * t.size, _darker(a, 0.55), 0.07 * t.size)
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
