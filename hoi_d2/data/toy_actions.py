"""What people do in the toy world: for each action the pose, where the object is, and the verbs.

One row of `ACTIONS` is one way of doing something with one object. The verb is decided by pose and
contact: the ball of somebody who kicks, picks up or only stands beside it lies in the same place.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from hoi_d2.data.toy_art import Body, Color, Point, Pose, Thing, place_body, standing_hip

SIZES = {  # larger extent of an object, in heights of the person beside it
    "bicycle": 0.95,
    "horse": 1.15,
    "chair": 0.55,
    "bench": 1.0,
    "sports ball": 0.24,
    "frisbee": 0.32,
    "umbrella": 0.62,
    "suitcase": 0.38,
    "skateboard": 0.52,
    "surfboard": 0.95,
    "kite": 0.46,
    "book": 0.28,
}
_SEATS = {  # local point where a person sits (or lies), and local y of the deck a person stands on
    "bicycle": (-0.15, -0.27),
    "horse": (-0.04, -0.17),
    "chair": (0.0, -0.06),
    "bench": (0.0, -0.02),
    "skateboard": (0.0, -0.04),
    "surfboard": (0.0, -0.07),
}

STAND = ((6, 2), (-6, -2))
WALK = ((27, 12), (-24, -36))
POSES: dict[str, Pose] = {
    "stand": Pose(0, ((8, 12), (-8, 2)), STAND),
    "walk": Pose(3, ((25, 40), (-28, -15)), WALK),
    "wave": Pose(0, ((150, 172), (-8, 2)), STAND),
    "akimbo": Pose(0, ((-40, 30), (-42, 25)), STAND),
    "shrug": Pose(0, ((60, 140), (-60, -140)), STAND),
    "pedal": Pose(22, ((62, 72), (58, 68)), ((72, 8), (38, -22))),
    "astride": Pose(0, ((8, 18), (-6, 4)), ((11, 4), (-11, -4))),
    "mount": Pose(5, ((50, 80), (45, 75)), ((38, 2), (30, -6))),
    "shove": Pose(30, ((88, 92), (82, 90)), ((34, 8), (-32, -44))),
    "lead": Pose(3, ((52, 66), (-22, -8)), WALK),
    "touch": Pose(0, ((55, 66), (-8, 2)), STAND),
    "pet": Pose(6, ((72, 100), (-8, 2)), STAND),
    "feed": Pose(18, ((70, 62), (-14, -4)), ((14, 4), (-12, -12))),
    "lift high": Pose(0, ((158, 172), (166, 178)), WALK),
    "hug load": Pose(-5, ((30, 95), (24, 90)), WALK),
    "hold out": Pose(0, ((78, 92), (-8, 2)), STAND),
    "hang": Pose(2, ((6, 8), (-24, -8)), WALK),
    "drag": Pose(20, ((-44, -48), (26, 44)), WALK),
    "sit": Pose(-2, ((34, 66), (28, 62)), ((86, 4), (82, 8))),
    "sit low": Pose(-6, ((20, 60), (-30, -12)), ((100, 48), (96, 42))),
    "balance": Pose(0, ((70, 84), (-70, -84)), ((16, 2), (-14, -4))),
    "crouch": Pose(24, ((84, 98), (-76, -96)), ((64, -34), (14, -58))),
    "leap": Pose(14, ((128, 148), (-120, -140)), ((74, -30), (24, -62))),
    "lie": Pose(-90, ((-98, -92), (-60, -84)), ((90, 90), (84, 92))),
    "kick": Pose(-14, ((-44, -24), (48, 70)), ((58, 44), (-8, -10))),
    "stoop": Pose(84, ((14, 4), (6, 0)), ((16, -12), (2, -22))),
    "throw": Pose(16, ((104, 100), (-66, -92)), ((32, 6), (-30, -42))),
    "catch": Pose(-6, ((104, 122), (84, 112)), ((10, -2), (-12, -8))),
    "fly": Pose(-8, ((132, 146), (20, 100)), STAND),
    "shelter": Pose(0, ((30, 150), (-8, 2)), STAND),
    "read": Pose(0, ((34, 118), (28, 112)), STAND),
    "sit and read": Pose(-2, ((34, 118), (28, 112)), ((86, 4), (82, 8))),
    "sit and shelter": Pose(-2, ((30, 150), (28, 62)), ((86, 4), (82, 8))),
}
IDLE = ("stand", "walk", "wave", "akimbo", "shrug")


@dataclass(frozen=True)
class Action:
    """One way of doing something with one object. `weight` is its frequency in training."""

    object: str
    verbs: tuple[str, ...]
    pose: str
    place: str
    weight: float
    form: str = ""
    lifted: bool = False

    @property
    def idle_is_plausible(self) -> bool:
        """Whether the object could lie there as it does beside somebody who does nothing."""
        return not self.lifted and self.place in ("front", "foot", "reach", "behind", "rope")


COMMON, SOME, FEW, RARE = 1.0, 0.4, 0.12, 0.014
ACTIONS: tuple[Action, ...] = (
    Action("bicycle", ("ride", "straddle"), "pedal", "seat", COMMON),
    Action("bicycle", ("straddle",), "astride", "seat", FEW),
    Action("bicycle", ("push",), "shove", "front", SOME),
    Action("bicycle", ("walk", "hold"), "lead", "front", SOME),
    Action("bicycle", ("hold",), "touch", "front", SOME),
    Action("bicycle", ("carry",), "lift high", "overhead", RARE),
    Action("bicycle", ("jump", "ride"), "pedal", "seat", RARE, lifted=True),
    Action("horse", ("ride", "straddle"), "mount", "seat", COMMON),
    Action("horse", ("jump", "ride"), "mount", "seat", RARE, form="jump", lifted=True),
    Action("horse", ("pet",), "pet", "front", SOME),
    Action("horse", ("feed",), "feed", "muzzle", RARE),
    Action("horse", ("walk",), "lead", "rope", FEW),
    Action("horse", ("hold",), "touch", "rope", RARE),
    Action("chair", ("sit_on",), "sit", "seat", COMMON),
    Action("chair", ("stand_on",), "balance", "deck", RARE),
    Action("chair", ("carry",), "lift high", "overhead", RARE),
    Action("chair", ("hold",), "touch", "front", FEW),
    Action("bench", ("sit_on",), "sit", "seat", COMMON),
    Action("bench", ("lie_on",), "lie", "seat", RARE),
    Action("sports ball", ("kick",), "kick", "foot", COMMON),
    Action("sports ball", ("hold",), "hold out", "hand", SOME),
    Action("sports ball", ("throw",), "throw", "flight", COMMON),
    Action("sports ball", ("catch",), "catch", "incoming", SOME),
    Action("sports ball", ("carry", "hold"), "hug load", "hands", FEW),
    Action("sports ball", ("pick_up",), "stoop", "reach", RARE),
    Action("frisbee", ("hold",), "hold out", "hand", SOME),
    Action("frisbee", ("throw",), "throw", "flight", COMMON),
    Action("frisbee", ("catch",), "catch", "incoming", RARE),
    Action("umbrella", ("hold", "stand_under"), "shelter", "canopy", COMMON, form=""),
    Action("umbrella", ("carry",), "hang", "hang", RARE, form="closed"),
    Action("suitcase", ("carry", "hold"), "hang", "hang", SOME),
    Action("suitcase", ("hold",), "touch", "front", FEW),
    Action("suitcase", ("drag",), "drag", "behind", COMMON),
    Action("suitcase", ("pick_up",), "stoop", "reach", RARE),
    Action("skateboard", ("ride", "stand_on"), "crouch", "deck", COMMON),
    Action("skateboard", ("stand_on",), "stand", "deck", FEW),
    Action("skateboard", ("jump",), "leap", "deck", SOME, lifted=True),
    Action("skateboard", ("hold",), "hold out", "hand", FEW),
    Action("skateboard", ("carry",), "hug load", "hands", SOME),
    Action("skateboard", ("sit_on",), "sit low", "seat", RARE),
    Action("skateboard", ("pick_up",), "stoop", "reach", RARE),
    Action("surfboard", ("ride", "stand_on"), "crouch", "deck", COMMON),
    Action("surfboard", ("carry",), "lift high", "overhead", SOME),
    Action("surfboard", ("hold",), "touch", "upright", FEW),
    Action("surfboard", ("lie_on",), "lie", "seat", SOME),
    Action("surfboard", ("drag",), "drag", "behind", RARE),
    Action("surfboard", ("sit_on",), "sit low", "seat", RARE),
    Action("kite", ("fly",), "fly", "string", COMMON),
    Action("kite", ("hold",), "hold out", "hand", FEW),
    Action("kite", ("carry",), "hug load", "hands", RARE),
    Action("book", ("read", "hold"), "read", "hands", COMMON),
    Action("book", ("hold",), "hold out", "hand", FEW),
    Action("book", ("carry",), "hang", "hang", RARE),
)
# Done with the hands while sitting: (pose, object, verbs, place of the object).
SEATED = (
    ("sit and read", "book", ("read", "hold"), "hands"),
    ("sit and shelter", "umbrella", ("hold", "stand_under"), "canopy"),
)


@dataclass(frozen=True)
class Performance:
    """A person with an object, in pixels; `cord` is a rope or string, `streaks` mark a flight."""

    body: Body
    thing: Thing
    cord: tuple[Point, Point] | None = None
    streaks: tuple[tuple[Point, Point], ...] = ()
    shadow: bool = False


def jitter(rng: random.Random, pose: Pose, degrees: float = 7.0) -> Pose:
    """The pose with every angle moved a little."""

    def pair(angles: tuple[float, float]) -> tuple[float, float]:
        return angles[0] + rng.uniform(-degrees, degrees), angles[1] + rng.uniform(
            -degrees, degrees
        )

    return Pose(
        pose.lean + rng.uniform(-5, 5),
        (pair(pose.arms[0]), pair(pose.arms[1])),
        (pair(pose.legs[0]), pair(pose.legs[1])),
    )


def perform(
    action: Action,
    *,
    rng: random.Random,
    x: float,
    ground: float,
    height: float,
    facing: int,
    colors: tuple[Color, Color],
    pose: str | None = None,
) -> Performance:
    """Places a person who does `action` and the object, at `x` on the line `ground`.

    `pose` takes another pose than the action's: somebody who idles where others act.
    """
    size = SIZES[action.object] * height * rng.uniform(0.88, 1.14)
    thing = Thing(action.object, (x, 0.0), size, facing, colors, form=action.form)
    posed = jitter(rng, POSES[pose or action.pose])
    done = _PLACES[action.place](posed, thing, rng, x, ground, height, facing)
    if action.lifted:
        done = _lift(done, rng.uniform(0.22, 0.36) * height)
    return done


def _move(thing: Thing, center: Point, angle: float = 0.0, facing: int | None = None) -> Thing:
    facing = thing.facing if facing is None else facing
    return Thing(thing.kind, center, thing.size, facing, thing.colors, angle, thing.form)


def _rest(thing: Thing, x: float, ground: float, angle: float = 0.0, facing: int | None = None):
    """The thing with its lowest point on the ground."""
    thing = _move(thing, (x, 0.0), angle, facing)
    return _move(thing, (x, ground - thing.box[3]), angle, facing)


def _lift(p: Performance, by: float) -> Performance:
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
    return Performance(body, _move(thing, (hx + facing * 0.35 * thing.size, hy), tilt))


def _hands(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    hx = 0.5 * (body.hands[0][0] + body.hands[1][0]) + facing * 0.2 * thing.size
    hy = 0.5 * (body.hands[0][1] + body.hands[1][1])
    return Performance(body, _move(thing, (hx, hy), rng.uniform(-10, 10)))


def _hang(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    thing = _move(thing, (body.hands[0][0], 0.0), rng.uniform(-6, 6))
    return Performance(
        body, _move(thing, (body.hands[0][0], body.hands[0][1] - thing.box[1]), thing.angle)
    )


def _overhead(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    top = min(hand[1] for hand in body.hands)
    hx = 0.5 * (body.hands[0][0] + body.hands[1][0])
    thing = _move(thing, (hx, 0.0), rng.uniform(-10, 10))
    return Performance(
        body, _move(thing, (hx, top + 0.12 * thing.size - thing.box[3]), thing.angle)
    )


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
    return Performance(body, _move(thing, center, rng.uniform(-25, 10)), streaks=streaks)


def _incoming(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    hx = max(facing * body.hands[0][0], facing * body.hands[1][0]) * facing
    hy = 0.5 * (body.hands[0][1] + body.hands[1][1])
    gap = rng.uniform(0.05, 0.24) * height + 0.5 * thing.size
    center = hx + facing * gap, hy - rng.uniform(-0.05, 0.18) * height
    return Performance(body, _move(thing, center, rng.uniform(-25, 25)))


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
    thing = _move(thing, (0.0, 0.0), rng.uniform(-12, 12))
    handle = thing.at(0.0, 0.36)
    return Performance(
        body,
        _move(thing, (body.hands[0][0] - handle[0], body.hands[0][1] - handle[1]), thing.angle),
    )


def _string(pose, thing, rng, x, ground, height, facing) -> Performance:
    body = stand_at(pose, x, ground, height, facing)
    hx, hy = body.hands[0]
    up = hx + facing * rng.uniform(0.1, 0.5) * height, hy - rng.uniform(0.3, 0.6) * height
    thing = _move(thing, up, rng.uniform(-25, 25))
    return Performance(body, thing, cord=(body.hands[0], thing.at(0.0, -0.05)))


_PLACES: dict[str, Callable[..., Performance]] = {
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


def hold_while_seated(
    place: str, body: Body, kind: str, rng: random.Random, colors: tuple[Color, Color]
) -> Thing:
    """The second object of a seated person: a book in both hands, or an umbrella in one."""
    size = SIZES[kind] * body.height * rng.uniform(0.88, 1.14)
    thing = Thing(kind, (0.0, 0.0), size, body.facing, colors)
    if place == "hands":
        hx = 0.5 * (body.hands[0][0] + body.hands[1][0]) + body.facing * 0.2 * size
        return _move(thing, (hx, 0.5 * (body.hands[0][1] + body.hands[1][1])), rng.uniform(-10, 10))
    handle = thing.at(0.0, 0.36)
    return _move(thing, (body.hands[0][0] - handle[0], body.hands[0][1] - handle[1]))
