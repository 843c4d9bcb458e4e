"""Toy images of one person who does one thing after the other in the same place."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from hoi_d2.data.toy.actions import ACTIONS, Action, perform
from hoi_d2.data.toy.art import Clothes
from hoi_d2.data.toy.scene import ToyScene, render

PLACES = (0.3, 0.5, 0.7)  # share of the width
_SIZE = (224, 176)
_CLOTHES = Clothes((120, 160, 210), (30, 40, 60), (60, 60, 190), (110, 70, 40))
_COLORS = ((40, 160, 220), (200, 200, 200))
DOES_NOTHING = "does nothing"
_ACTS = (
    ("kick", "kick"),
    ("throw", "throw"),
    ("catch", "catch"),
    ("hold out", "hold"),
    ("hug load", "carry"),
)


@dataclass(frozen=True)
class Act:
    """One image: (H, W, 3) RGB, the person's XYXY box, where and what."""

    image: np.ndarray
    box: tuple[float, ...]
    place: int
    action: str


def acts_in_same_places() -> list[Act]:
    """Every action with a ball in every place: same person, ball, room and line of sight."""
    of_pose = {action.pose: action for action in ACTIONS if action.object == "sports ball"}
    acts = []
    for place in range(len(PLACES)):
        acts.append(_draw(of_pose["kick"], DOES_NOTHING, place, pose="stand"))
        acts += [_draw(of_pose[pose], name, place) for pose, name in _ACTS]
    return acts


def _draw(action: Action, name: str, place: int, pose: str | None = None) -> Act:
    width, height = _SIZE
    scene = ToyScene(seed=7, width=width, height=height)
    done = perform(
        action,
        rng=random.Random(1),
        x=PLACES[place] * width,
        ground=0.92 * height,
        height=0.6 * height,
        facing=1,
        colors=_COLORS,
        pose=pose,
    )
    scene.layers += [("person", (done.body, _CLOTHES)), ("thing", done.thing)]
    return Act(render(scene)[:, :, ::-1].copy(), done.body.box, place, name)
