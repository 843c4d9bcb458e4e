"""Where a person and an object are to one another, for each way of placing them (`PLACES`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hoi_d2.data.toy_art import Body, Point, Pose, Thing, place_body, standing_hip

_SEATS = {  # local point where a person sits (or lies), and local y of the deck a person stands on
    "bicycle": (-0.15, -0.27),
    "horse": (-0.04, -0.17),
    "chair": (0.0, -0.06),
    "bench": (0.0, -0.02),
    "skateboard": (0.0, -0.04),
    "surfboard": (0.0, -0.07),
}


@dataclass(frozen=True)
class Performance:
    """A person with an object, in pixels; `cord` is a rope or string, `streaks` mark a flight."""

    body: Body
    thing: Thing
    cord: tuple[Point, Point] | None = None
    streaks: tuple[tuple[Point, Point], ...] = ()
    shadow: bool = False


def move(thing: Thing, center: Point, angle: float = 0.0, facing: int | None = None) -> Thing:
    facing = thing.facing if facing is None else facing
    return Thing(thing.kind, center, thing.size, facing, thing.colors, angle, thing.form)


def _rest(thing: Thing, x: float, ground: float, angle: float = 0.0, facing: int | None = None):
    """The thing with its lowest point on the ground."""
    thing = move(thing, (x, 0.0), angle, facing)
    return move(thing, (x, ground - thing.box[3]), angle, facing)


def lift(p: Performance, by: float) -> Performance:
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


def stand_at(pose: Pose, x: float, ground: float, height: float, facing: int) -> Body:
    """A person whose lower foot is on the ground at about `x`."""
    return place_body(pose, height, facing, (x, standing_hip(pose, height, ground)))


def _seat(pose, thing, rng, x, ground, height, facing) -> Performance:
    thing = _rest(thing, x, ground)
    px, py = thing.at(*_SEATS[thing.kind])
    px += rng.uniform(-0.08, 0.08) * thing.size * (thing.kind in ("bench", "surfboard"))
    return Performance(place_body(pose, height, facing, (px, py - 0.05 * height)), thing)


def _deck(pose, thing, rng, x, ground, height, facing) -> Performance:
    thing = _rest(thing, x, ground)
    deck = thing.at(*_SEATS[thing.kind])[1]
    shift = rng.uniform(-0.05, 0.05) * thing.size
    return Performance(stand_at(pose, x + shift, deck, height, facing), thing)


def _front(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    reach = max(abs(hand[0] - x) for hand in body.hands)
    half = 0.5 * (thing.box[2] - thing.box[0])
    gap = max(reach, 0.2 * height) + rng.uniform(-0.12, 0.02) * height
    depth = {"bicycle": 0.55, "horse": 0.75}.get(thing.kind, 0.8)
    turned = facing * rng.choice((-1, 1))
    center = x + facing * (gap + depth * half)
    return Performance(body, _rest(thing, center, ground, facing=turned))


def _upright(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    hand = body.hands[0][0] + facing * 0.05 * height
    return Performance(body, _rest(thing, hand, ground, angle=90 + rng.uniform(-6, 6)))


def _hand(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    hx, hy = body.hands[0]
    tilt = rng.uniform(-25, 25)
    return Performance(body, move(thing, (hx + facing * 0.35 * thing.size, hy), tilt))


def _hands(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    hx = 0.5 * (body.hands[0][0] + body.hands[1][0]) + facing * 0.2 * thing.size
    hy = 0.5 * (body.hands[0][1] + body.hands[1][1])
    return Performance(body, move(thing, (hx, hy), rng.uniform(-10, 10)))


def _hang(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    thing = move(thing, (body.hands[0][0], 0.0), rng.uniform(-6, 6))
    return Performance(
        body, move(thing, (body.hands[0][0], body.hands[0][1] - thing.box[1]), thing.angle)
    )


def _overhead(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    top = min(hand[1] for hand in body.hands)
    hx = 0.5 * (body.hands[0][0] + body.hands[1][0])
    thing = move(thing, (hx, 0.0), rng.uniform(-10, 10))
    return Performance(body, move(thing, (hx, top + 0.12 * thing.size - thing.box[3]), thing.angle))


def _foot(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    reach = rng.uniform(0.3, 0.42) * height
    return Performance(
        body, _rest(thing, x + facing * reach, ground - rng.uniform(0, 0.05) * height)
    )


def _reach(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    return Performance(body, _rest(thing, x + facing * rng.uniform(0.3, 0.42) * height, ground))


def _behind(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    half = 0.5 * (thing.box[2] - thing.box[0])
    center = x - facing * (rng.uniform(0.2, 0.3) * height + 0.8 * half)
    return Performance(body, _rest(thing, center, ground, rng.uniform(2, 14)))


def _flight(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    hx, hy = body.hands[0]
    gap = rng.uniform(0.12, 0.3) * height + 0.5 * thing.size
    center = hx + facing * gap, hy - rng.uniform(-0.05, 0.2) * height
    near = center[0] - facing * 0.6 * thing.size
    far = near - facing * 0.1 * height
    levels = (center[1] + dy * thing.size for dy in (-0.25, 0.25))
    streaks = tuple(((far, y), (near, y)) for y in levels)
    return Performance(body, move(thing, center, rng.uniform(-25, 10)), streaks=streaks)


def _incoming(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    hx = max(facing * body.hands[0][0], facing * body.hands[1][0]) * facing
    hy = 0.5 * (body.hands[0][1] + body.hands[1][1])
    gap = rng.uniform(0.05, 0.24) * height + 0.5 * thing.size
    center = hx + facing * gap, hy - rng.uniform(-0.05, 0.18) * height
    return Performance(body, move(thing, center, rng.uniform(-25, 25)))


def _rope(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    away = facing * (rng.uniform(0.35, 0.5) * height + 0.5 * thing.size)
    thing = _rest(thing, x + away, ground, facing=-facing)
    return Performance(body, thing, cord=(body.hands[0], thing.at(0.42, -0.24)))


def _muzzle(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    thing = _rest(thing, x, ground, facing=-facing)
    muzzle = thing.at(0.47, -0.22)[0]
    return Performance(body, _rest(thing, x + body.hands[0][0] - muzzle, ground, facing=-facing))


def _canopy(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    thing = move(thing, (0.0, 0.0), rng.uniform(-12, 12))
    handle = thing.at(0.0, 0.36)
    return Performance(
        body,
        move(thing, (body.hands[0][0] - handle[0], body.hands[0][1] - handle[1]), thing.angle),
    )


def _string(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    hx, hy = body.hands[0]
    up = hx + facing * rng.uniform(0.1, 0.5) * height, hy - rng.uniform(0.3, 0.6) * height
    thing = move(thing, up, rng.uniform(-25, 25))
    return Performance(body, thing, cord=(body.hands[0], thing.at(0.0, -0.05)))


PLACES: dict[str, Callable[..., Performance]] = {
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
