"""The scenes of the toy world: people who interact with objects, with HICO-DET's classes.

Verbs are decided by pose and contact, not by position and category: others stand in the same place
and do nothing, or something else. The class distribution has a long tail. A scene is described
first (`ToyScene`, cheap) and drawn when its image is asked for, so the dataset needs no files.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from hoi_d2.data.toy.actions import (
    ACTIONS,
    IDLE,
    POSES,
    SEATED,
    SIZES,
    Action,
    hold_while_seated,
    jitter,
    perform,
)
from hoi_d2.data.toy.art import Canvas, Clothes, draw_body, place_body
from hoi_d2.data.toy.places import Performance, Spot, stand_at
from hoi_d2.data.toy.things import Thing, draw_thing
from hoi_d2.data.vocabulary import hico_det_vocabulary

SCHEME = "toy://"
SPLITS = {"train": (0, 6000), "val": (1, 1000)}
"""Name of a split -> (seed, number of images)."""
_WIDTHS, _HEIGHTS = (192, 208, 224), (160, 176, 192)
_MIN_VISIBLE = 0.6  # share of a box that must be inside the image
_MAX_COVERED = 0.55  # share of a box that another group may cover: verbs must stay recognisable


@dataclass
class ToyScene:
    """One image before it is drawn: layers from back to front, entities and interactions."""

    seed: int
    width: int
    height: int
    layers: list[tuple[str, Any]] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    interactions: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)

    def has_room(self, box: Sequence[float]) -> bool:
        """Whether a box is mostly inside the image and covers little of the earlier groups."""
        if _visible(box, self.width, self.height) < _MIN_VISIBLE:
            return False
        return all(_covered(box, other) < _MAX_COVERED for other in self.boxes)

    def add_entity(self, kind: str, box: Sequence[float]) -> int:
        """Adds an entity with its box (XYXY pixels, clipped to the image); returns its index."""
        x0, y0, x1, y1 = box
        w, h = float(self.width), float(self.height)
        self.boxes.append((max(x0, 0.0), max(y0, 0.0), min(x1, w), min(y1, h)))
        self.kinds.append(kind)
        return len(self.kinds) - 1


def _color(rng: random.Random, low: int = 20, high: int = 235) -> tuple[int, int, int]:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def _clothes(rng: random.Random) -> Clothes:
    tone = rng.uniform(0.35, 1.0)
    skin = (int(150 * tone), int(190 * tone), int(238 * tone))
    return Clothes(skin, _color(rng, 10, 110), _color(rng), _color(rng, 20, 170))


@lru_cache(maxsize=4)
def _weights(balance: float) -> tuple[float, ...]:
    """Returns the frequency of each action; `balance` raises the rare ones, for small datasets."""
    return tuple(max(action.weight, balance) for action in ACTIONS)


def _visible(box: Sequence[float], width: int, height: int) -> float:
    x0, y0, x1, y1 = box
    inside = max(0.0, min(x1, width) - max(x0, 0)) * max(0.0, min(y1, height) - max(y0, 0))
    return inside / max((x1 - x0) * (y1 - y0), 1e-6)


def _covered(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over the smaller area of two boxes."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(w, 0.0) * max(h, 0.0) / max(smaller, 1e-6)


def compose(seed: int, *, balance: float = 0.0) -> ToyScene:
    """Returns the scene of a seed.

    Args:
        seed: the same one gives the same scene.
        balance: the minimum weight of an action (the most frequent have 1); 0 = no minimum.

    Returns:
        1 to 4 groups of somebody and an object, or an object alone; pixels, boxes XYXY.
    """
    rng = random.Random(seed)
    scene = ToyScene(seed, rng.choice(_WIDTHS), rng.choice(_HEIGHTS))
    groups = rng.choices((1, 2, 3, 4), (0.3, 0.38, 0.22, 0.1))[0]
    slot = scene.width / groups
    order = list(range(groups))
    rng.shuffle(order)
    room = max(0, 5 - groups)  # objects beyond one per group
    for index in order:
        x = slot * (index + 0.5) + rng.uniform(-0.12, 0.12) * slot
        height = min(0.62 * scene.height, 1.05 * slot + 20) * rng.uniform(0.72, 1.0)
        ground = scene.height * rng.uniform(0.8, 0.97)
        spot, kind = Spot(x, ground, height), rng.random()
        if kind < 0.76:
            room -= _add_actor(scene, rng, spot, balance, room)
        elif kind < 0.9:
            _add_idler(scene, rng, spot, balance)
        else:
            _add_lonely_thing(scene, rng, spot)
    return scene


def _try_perform(
    scene: ToyScene, rng: random.Random, action: Action, spot: Spot, pose: str | None = None
) -> Performance | None:
    """Returns a performance whose person and object are mostly inside the image, else None."""
    for _ in range(4):
        done = perform(
            action,
            rng=rng,
            x=spot.x,
            ground=spot.ground,
            height=spot.height,
            facing=rng.choice((-1, 1)),
            colors=(_color(rng), _color(rng)),
            pose=pose,
        )
        if scene.has_room(done.body.box) and scene.has_room(done.thing.box):
            return done
        x = rng.uniform(0.1, 0.9) * scene.width
        spot = replace(spot, x=x, height=0.88 * spot.height)
    return None


def _add_actor(scene: ToyScene, rng: random.Random, spot: Spot, balance: float, room: int) -> int:
    """Adds a person who acts; returns the number of objects beyond the first."""
    action = rng.choices(ACTIONS, _weights(balance))[0]
    second = None
    pose = action.pose
    if action.pose == "sit" and room > 0 and rng.random() < 0.35:
        second = rng.choice(SEATED)
        pose = second[0]
    done = _try_perform(scene, rng, action, spot, pose)
    if done is None:
        _add_lonely_thing(scene, rng, spot)
        return 0
    human = _add_performance(scene, rng, done)
    scene.interactions.append((human, len(scene.kinds) - 1, action.verbs))
    if second is not None:
        thing = hold_while_seated(second[3], done.body, second[1], rng, (_color(rng), _color(rng)))
        if _visible(thing.box, scene.width, scene.height) > _MIN_VISIBLE:
            scene.layers.append(("thing", thing))
            scene.interactions.append((human, scene.add_entity(second[1], thing.box), second[2]))
            return 1
    return _add_companion(scene, rng, action, done) if room > 0 else 0


def _add_performance(scene: ToyScene, rng: random.Random, done: Performance) -> int:
    """Adds things in drawing order: far first, ridden before the person, held after."""
    if done.shadow:
        scene.layers.append(("shadow", done))
    if done.cord or done.streaks:
        scene.layers.append(("cord", done))
    person = ("person", (done.body, _clothes(rng)))
    thing = ("thing", done.thing)
    held = done.thing.size < 0.5 * done.body.height
    scene.layers.extend([person, thing] if held else [thing, person])
    human = scene.add_entity("person", done.body.box)
    scene.add_entity(done.thing.kind, done.thing.box)
    return human


def _add_companion(scene: ToyScene, rng: random.Random, action: Action, done: Performance) -> int:
    """Adds a second person to an object: next to the first on a bench, or pushing a rider."""
    thing = done.thing
    if rng.random() > 0.25 or done.shadow:
        return 0
    if thing.kind == "bench" and action.pose == "sit":
        side = thing.size * (0.3 if done.body.hip[0] < thing.center[0] else -0.3)
        hip = done.body.hip[0] + side, done.body.hip[1]
        pose, verbs = jitter(rng, POSES["sit"]), ("sit_on",)
        body = place_body(pose, done.body.height, done.body.facing, hip)
    elif thing.kind == "bicycle" and action.pose == "pedal":
        pose, verbs = jitter(rng, POSES["shove"]), ("push",)
        x = thing.center[0] - thing.facing * 0.85 * thing.size
        body = stand_at(pose, Spot(x, thing.box[3], done.body.height), thing.facing)
    else:
        return 0
    if _visible(body.box, scene.width, scene.height) > _MIN_VISIBLE:
        scene.layers.append(("person", (body, _clothes(rng))))
        human = scene.add_entity("person", body.box)
        target = next(j for i, j, _ in reversed(scene.interactions) if scene.kinds[j] == thing.kind)
        scene.interactions.append((human, target, verbs))
    return 0


def _add_idler(scene: ToyScene, rng: random.Random, spot: Spot, balance: float) -> None:
    """Adds a person next to an object without an interaction."""
    plausible = [a for a in ACTIONS if a.idle_is_plausible]
    action = rng.choices(plausible, [max(a.weight, 0.1) for a in plausible])[0]
    done = _try_perform(scene, rng, action, spot, pose=rng.choice(IDLE))
    if done is not None:
        _add_performance(scene, rng, Performance(done.body, done.thing))


def _add_lonely_thing(scene: ToyScene, rng: random.Random, spot: Spot) -> None:
    kind = rng.choice(list(SIZES))
    size, x, ground = SIZES[kind] * spot.height * rng.uniform(0.85, 1.2), spot.x, spot.ground
    thing = Thing(kind, (x, ground), size, rng.choice((-1, 1)), (_color(rng), _color(rng)))
    thing = Thing(kind, (x, 2 * ground - thing.box[3]), size, thing.facing, thing.colors)
    if scene.has_room(thing.box):
        scene.layers.insert(0, ("thing", thing))
        scene.add_entity(kind, thing.box)


@lru_cache(maxsize=1)
def _noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 18, (512, 512, 3), dtype=np.uint8)


def _background(scene: ToyScene, rng: random.Random) -> np.ndarray:
    """Draws a wall and a floor, with clutter that is not in the vocabulary, and noise."""
    h, w = scene.height, scene.width
    image = np.empty((h, w, 3), dtype=np.uint8)
    horizon = int(h * rng.uniform(0.5, 0.72))
    dark = rng.random() < 0.25
    low, high = (20, 90) if dark else (90, 225)
    image[:horizon] = _color(rng, low, high)
    image[horizon:] = _color(rng, low, high)
    for _ in range(rng.randint(1, 5)):  # windows, posters, patches
        x, y = rng.randint(-20, w), rng.randint(-20, h)
        corner = x + rng.randint(8, 60), y + rng.randint(8, 50)
        cv2.rectangle(image, (x, y), corner, _color(rng, low, high), rng.choice((-1, -1, 2)))
    for _ in range(rng.randint(0, 3)):  # stray lines
        a, b = (rng.randint(0, w), rng.randint(0, h)), (rng.randint(0, w), rng.randint(0, h))
        cv2.line(image, a, b, _color(rng, low, high), 1, cv2.LINE_AA)
    return image


def render(scene: ToyScene) -> np.ndarray:
    """Draws a scene: (H, W, 3) uint8, BGR."""
    rng = random.Random(scene.seed + 0x5EED)
    image = _background(scene, rng)
    canvas = Canvas(image)
    for kind, what in scene.layers:
        if kind == "person":
            draw_body(canvas, *what)
        elif kind == "thing":
            draw_thing(canvas, what)
        elif kind == "shadow":
            x0, _, x1, y1 = what.thing.box
            floor = image[min(int(y1), scene.height - 1), 0]
            blue, green, red = (int(0.55 * c) for c in floor)
            width = 0.5 * (x1 - x0)
            center = 0.5 * (x0 + x1), min(y1 + 0.3 * what.body.height, scene.height - 3.0)
            canvas.ellipse(center, (0.8 * width, 0.1 * width), 0, (blue, green, red))
        else:
            lines = what.streaks or (what.cord,)
            for line in lines:
                canvas.line(line, (245, 245, 245), 1)
    dy, dx = rng.randrange(512 - scene.height), rng.randrange(512 - scene.width)
    grain = _noise()[dy : dy + scene.height, dx : dx + scene.width]
    return cv2.add(image, grain)


def scene_seed(split: str, index: int) -> int:
    """Returns the seed of a split's image; splits never share one."""
    return SPLITS[split][0] * 10_000_000 + index


def toy_scene(split: str, index: int) -> ToyScene:
    """Returns the scene of image `index` of a split. Validation shows rare classes more often."""
    return compose(scene_seed(split, index), balance=0.0 if split == "train" else 0.2)


def read_toy_image(file_name: str) -> np.ndarray:
    """Draws `toy://split/index`: (H, W, 3) uint8, BGR."""
    split, index = file_name.removeprefix(SCHEME).split("/")
    return render(toy_scene(split, int(index)))


def hoi_counts(split: str) -> Counter[int]:
    """Number of pairs of each HOI id in a split."""
    vocabulary = hico_det_vocabulary()
    objects = {name: i for i, name in enumerate(vocabulary.objects)}
    verbs = {name: i for i, name in enumerate(vocabulary.verbs)}
    counts: Counter[int] = Counter()
    for index in range(SPLITS[split][1]):
        scene = toy_scene(split, index)
        for _, j, names in scene.interactions:
            for name in names:
                counts[int(vocabulary.hoi_of[objects[scene.kinds[j]], verbs[name]])] += 1
    return counts
