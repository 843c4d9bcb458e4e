"""Draws the people of the toy world with OpenCV, as articulated figures; `things` has the objects.

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


def darker(color: Color, factor: float = 0.72) -> Color:
    """The same hue in the shade."""
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
    draw_limb(shoulder, body.arms[1], darker(shirt), darker(skin))
    draw_limb(body.hip, body.legs[1], darker(trousers), darker(trousers))
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
