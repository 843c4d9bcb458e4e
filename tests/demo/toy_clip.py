"""Moving images of the toy world: the same people, frame after frame."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from hoi_d2.data.toy import scene as toy
from hoi_d2.data.toy.actions import ACTIONS, perform

WIDTH, HEIGHT = 224, 176
SKATER, SHELTERED = ("skateboard", "ride"), ("umbrella", "hold")
"""Somebody who acts: the object and the first verb of an action of the toy world."""


def frame(people: Iterable[tuple[tuple[str, str], float]], *, look: int = 0) -> np.ndarray:
    """(H, W, 3) BGR of people, each with x of the middle; the last one is in front.

    Args:
        people: (action, x).
        look: of the room and the clothes.
    """
    scene = toy.ToyScene(look, WIDTH, HEIGHT)
    for (thing, verb), x in people:
        action = next(a for a in ACTIONS if a.object == thing and a.verbs[0] == verb)
        rng = random.Random(f"{look} {thing}")  # the same figure in each frame
        done = perform(
            action, rng=rng, x=x, ground=150, height=90, facing=1, colors=((30, 60, 200),) * 2
        )
        toy._add_performance(scene, rng, done)
    return toy.render(scene)


def crossing(num_frames: int = 20) -> Iterator[np.ndarray]:
    """A skater goes from left to right, past somebody who stands there with an umbrella."""
    for number in range(num_frames):
        x = 30 + (WIDTH - 60) * number / (num_frames - 1)
        yield frame([(SHELTERED, 130.0), (SKATER, x)])


def write_clip(path: Path, frames: Iterable[np.ndarray], *, rate: float, codec: str = "MJPG"):
    """Writes frames as a video file."""
    writer = None
    for image in frames:
        if writer is None:
            size = image.shape[1], image.shape[0]
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, size)
        writer.write(image)
    assert writer is not None
    writer.release()
