"""Places a person and an object relative to each other, in each way of `PLACES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hoi_d2.data.toy.art import Body, Point, Pose, place_body, standing_hip
from hoi_d2.data.toy.things import Thing

_SEATS = {  # local point where a person sits (or lies), and local y of the deck a person stands on
    "bicycle": (-0.15, -0.27),
    "horse": (-0.04, -0.17),
    "chair": (0.0, -0.06),
    "bench": (0.0, -0.02),
    "skateboard": (0.0, -0.04),
    "surfboard": (0.0, -0.07),
}


@dataclass(frozen=True)
class Spot:
    """The place of a person in pixels: `x` on the line `ground`, and the `height` of standing."""

    x: float
    ground: float
    height: float


@dataclass(frozen=True)
class Performance:
    """A person with an object, in pixels; `cord` is a rope or string, `streaks` mark a flight."""

    body: Body
    thing: Thing
    cord: tuple[Point, Point] | None = None
    streaks: tuple[tuple[Point, Point], ...] = ()
    shadow: bool = False


def move(thing: Thing, center: Point, angle: float = 0.0, facing: int | None = None) -> Thing:
    """Moves a thing to this centre and angle in degrees; it faces the same way."""
    facing = thing.facing if facing is None else facing
    return Thing(thing.kind, center, thing.size, facing, thing.colors, angle, thing.form)


def _rest(
    thing: Thing, x: float, ground: float, angle: float = 0.0, facing: int | None = None
) -> Thing:
    """Moves a thing so that its lowest point is on the ground."""
    thing = move(thing, (x, 0.0), angle, facing)
    return move(thing, (x, ground - thing.box[3]), angle, facing)


def lift(p: Performance, by: float) -> Performance:
    """Both in the air, `by` pixels up, the object tipped back by 12 degrees; a shadow is left."""
    body = p.body
    posed = Thing(
        p.thing.kind,
        (p.thing.center[0], p.thing.center[1] - by),
        p.thing.size,
        p.thing.facing,
        p.thing.colors,
        p.thing.angle - 12,
        p.thing.form,
    )

    def up(point: Point) -> Point:
        return point[0], point[1] - by

    lifted = Body(
        body.height,
        body.facing,
        up(body.hip),
        up(body.neck),
        up(body.head),
        tuple((up(a), up(b)) for a, b in body.arms),
        tuple((up(a), up(b)) for a, b in body.legs),
    )
    return Performance(lifted, posed, p.cord, p.streaks, shadow=True)


def stand_at(pose: Pose, spot: Spot, facing: int) -> Body:
    """Returns a person whose lower foot is on the ground at about `spot.x`."""
    hip = spot.x, standing_hip(pose, spot.height, spot.ground)
    return place_body(pose, spot.height, facing, hip)


def _seat(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    thing = _rest(thing, spot.x, spot.ground)
    px, py = thing.at(*_SEATS[thing.kind])
    px += rng.uniform(-0.08, 0.08) * thing.size * (thing.kind in ("bench", "surfboard"))
    return Performance(place_body(pose, spot.height, facing, (px, py - 0.05 * spot.height)), thing)


def _deck(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    thing = _rest(thing, spot.x, spot.ground)
    deck = thing.at(*_SEATS[thing.kind])[1]
    shift = rng.uniform(-0.05, 0.05) * thing.size
    return Performance(stand_at(pose, Spot(spot.x + shift, deck, spot.height), facing), thing)


def _front(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    reach = max(abs(hand[0] - spot.x) for hand in body.hands)
    half = 0.5 * (thing.box[2] - thing.box[0])
    gap = max(reach, 0.2 * spot.height) + rng.uniform(-0.12, 0.02) * spot.height
    depth = {"bicycle": 0.55, "horse": 0.75}.get(thing.kind, 0.8)
    turned = facing * rng.choice((-1, 1))
    center = spot.x + facing * (gap + depth * half)
    return Performance(body, _rest(thing, center, spot.ground, facing=turned))


def _upright(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    hand = body.hands[0][0] + facing * 0.05 * spot.height
    return Performance(body, _rest(thing, hand, spot.ground, angle=90 + rng.uniform(-6, 6)))


def _hand(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    hx, hy = body.hands[0]
    tilt = rng.uniform(-25, 25)
    return Performance(body, move(thing, (hx + facing * 0.35 * thing.size, hy), tilt))


def _hands(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    hx = 0.5 * (body.hands[0][0] + body.hands[1][0]) + facing * 0.2 * thing.size
    hy = 0.5 * (body.hands[0][1] + body.hands[1][1])
    return Performance(body, move(thing, (hx, hy), rng.uniform(-10, 10)))


def _hang(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    thing = move(thing, (body.hands[0][0], 0.0), rng.uniform(-6, 6))
    return Performance(
        body, move(thing, (body.hands[0][0], body.hands[0][1] - thing.box[1]), thing.angle)
    )


def _overhead(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    top = min(hand[1] for hand in body.hands)
    hx = 0.5 * (body.hands[0][0] + body.hands[1][0])
    thing = move(thing, (hx, 0.0), rng.uniform(-10, 10))
    return Performance(body, move(thing, (hx, top + 0.12 * thing.size - thing.box[3]), thing.angle))


def _foot(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    reach = rng.uniform(0.3, 0.42) * spot.height
    lowest = spot.ground - rng.uniform(0, 0.05) * spot.height
    return Performance(body, _rest(thing, spot.x + facing * reach, lowest))


def _reach(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    center = spot.x + facing * rng.uniform(0.3, 0.42) * spot.height
    return Performance(body, _rest(thing, center, spot.ground))


def _behind(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    half = 0.5 * (thing.box[2] - thing.box[0])
    center = spot.x - facing * (rng.uniform(0.2, 0.3) * spot.height + 0.8 * half)
    return Performance(body, _rest(thing, center, spot.ground, rng.uniform(2, 14)))


def _flight(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    hx, hy = body.hands[0]
    gap = rng.uniform(0.12, 0.3) * spot.height + 0.5 * thing.size
    center = hx + facing * gap, hy - rng.uniform(-0.05, 0.2) * spot.height
    near = center[0] - facing * 0.6 * thing.size
    far = near - facing * 0.1 * spot.height
    levels = (center[1] + dy * thing.size for dy in (-0.25, 0.25))
    streaks = tuple(((far, y), (near, y)) for y in levels)
    return Performance(body, move(thing, center, rng.uniform(-25, 10)), streaks=streaks)


def _incoming(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    hx = max(facing * body.hands[0][0], facing * body.hands[1][0]) * facing
    hy = 0.5 * (body.hands[0][1] + body.hands[1][1])
    gap = rng.uniform(0.05, 0.24) * spot.height + 0.5 * thing.size
    center = hx + facing * gap, hy - rng.uniform(-0.05, 0.18) * spot.height
    return Performance(body, move(thing, center, rng.uniform(-25, 25)))


def _rope(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    away = facing * (rng.uniform(0.35, 0.5) * spot.height + 0.5 * thing.size)
    thing = _rest(thing, spot.x + away, spot.ground, facing=-facing)
    return Performance(body, thing, cord=(body.hands[0], thing.at(0.42, -0.24)))


def _muzzle(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    thing = _rest(thing, spot.x, spot.ground, facing=-facing)
    muzzle = thing.at(0.47, -0.22)[0]
    center = spot.x + body.hands[0][0] - muzzle
    return Performance(body, _rest(thing, center, spot.ground, facing=-facing))


def _canopy(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    thing = move(thing, (0.0, 0.0), rng.uniform(-12, 12))
    handle = thing.at(0.0, 0.36)
    return Performance(
        body,
        move(thing, (body.hands[0][0] - handle[0], body.hands[0][1] - handle[1]), thing.angle),
    )


def _string(pose: Pose, thing: Thing, rng: Random, spot: Spot, facing: int) -> Performance:
    body = stand_at(pose, spot, facing)
    hx, hy = body.hands[0]
    up = hx + facing * rng.uniform(0.1, 0.5) * spot.height, hy - rng.uniform(0.3, 0.6) * spot.height
    thing = move(thing, up, rng.uniform(-25, 25))
    return Performance(body, thing, cord=(body.hands[0], thing.at(0.0, -0.05)))


Place = Callable[[Pose, Thing, Random, Spot, int], Performance]
"""Pose, object (its size counts, not where it is), random numbers, spot, facing -> both placed."""

PLACES: dict[str, Place] = {
    "seat": _seat,
    "deck": _deck,
    "front": _front,
    "upright": _upright,
    "hand": _hand,
    "hands": _hands,
    "hang": _hang,
    "overhead": _overhead,
    "foot": _foot,
    "reach": _reach,
    "behind": _behind,
    "flight": _flight,
    "incoming": _incoming,
    "rope": _rope,
    "muzzle": _muzzle,
    "canopy": _canopy,
    "string": _string,
}
