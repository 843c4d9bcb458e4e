"""The actions of the toy world: the pose, the place of the object, and the verbs of each.

One row of `ACTIONS` is one way of doing something with one object. The verb is decided by pose and
contact: a ball is in the same place if it is kicked, picked up, or only next to the person.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from hoi_d2.data.toy.art import Body, Color, Pose
from hoi_d2.data.toy.places import PLACES, Performance, Spot, lift, move
from hoi_d2.data.toy.things import Thing

SIZES = {  # larger extent of an object, in heights of the person next to it
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
        """Whether the object has the same place as next to a person who does not use it."""
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


def jitter(rng: random.Random, pose: Pose, degrees: float = 7.0) -> Pose:
    """Returns the pose with every angle moved a little."""

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
    """Places a person who does `action` and the object.

    Args:
        action: what is done, with which object.
        rng: moves every angle and distance a little.
        x, ground: where the person is, in pixels: at `x` on the line `ground`.
        height: of the person standing straight, in pixels.
        facing: +1 = right, -1 = left.
        colors: of the object, BGR.
        pose: a name of `POSES` in place of the action's: somebody who idles where others act.
    """
    size = SIZES[action.object] * height * rng.uniform(0.88, 1.14)
    thing = Thing(action.object, (x, 0.0), size, facing, colors, form=action.form)
    posed = jitter(rng, POSES[pose or action.pose])
    done = PLACES[action.place](posed, thing, rng, Spot(x, ground, height), facing)
    if action.lifted:
        done = lift(done, rng.uniform(0.22, 0.36) * height)
    return done


def hold_while_seated(
    place: str, body: Body, kind: str, rng: random.Random, colors: tuple[Color, Color]
) -> Thing:
    """Returns the second object of a seated person: a book in both hands, or an umbrella in one."""
    size = SIZES[kind] * body.height * rng.uniform(0.88, 1.14)
    thing = Thing(kind, (0.0, 0.0), size, body.facing, colors)
    if place == "hands":
        hx = 0.5 * (body.hands[0][0] + body.hands[1][0]) + body.facing * 0.2 * size
        return move(thing, (hx, 0.5 * (body.hands[0][1] + body.hands[1][1])), rng.uniform(-10, 10))
    handle = thing.at(0.0, 0.36)
    return move(thing, (body.hands[0][0] - handle[0], body.hands[0][1] - handle[1]))
