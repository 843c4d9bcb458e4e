"""The content of a drawing, without pixels: entities, and one entry per pair.

All inputs (a model's output, a dataset dict, a comparison of the two) are converted to a list of
`Interaction`; `build_scene` merges the verbs of one pair and the near-identical
boxes of one person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from hoi_d2.data.vocabulary import NO_INTERACTION, Vocabulary

DRAW_THRESHOLD = 0.3
"""Default minimum score of the interactions that are drawn."""
HIT, MISS, FALSE_ALARM = "hit", "miss", "false alarm"
"""The states of an interaction when ground truth and prediction are compared."""


@dataclass(frozen=True, eq=False)
class Interaction:
    """One (human, verb, object), detected or annotated.

    Args:
        human_box: (4,) XYXY, absolute pixels of the image.
        verb: verb id.
        object_box: (4,), or None if there is no visible object.
        object_class: entity class, -1 = no object.
        score: None for ground truth.
        state: "" or one of HIT, MISS, FALSE_ALARM.
        person: number of the person in a tracked video, -1 = not tracked.
    """

    human_box: np.ndarray
    verb: int
    object_box: np.ndarray | None = None
    object_class: int = -1
    score: float | None = None
    state: str = ""
    person: int = -1


@dataclass
class Entity:
    """A box that is drawn; `people` are the colour numbers of those who interact with it."""

    box: np.ndarray
    category: int
    person: int = -1
    people: list[int] = field(default_factory=list)


@dataclass
class Pair:
    """A human, an object (-1 = none) and the label of all verbs between them;
    `person` is the number of a tracked human.
    """

    human: int
    object: int
    object_class: int
    state: str
    verbs: list[int] = field(default_factory=list)
    score: float | None = None
    person: int = -1

    def text(self, vocabulary: Vocabulary, *, times: int = 1) -> str:
        """`"ride and straddle bicycle 0.87"`; the score is that of the best verb. `times` counts
        the objects that one label stands for: `"herd cow ×5"`.
        """
        words = joined_words([readable_verbs(vocabulary)[v] for v in self.verbs])
        if self.object_class >= 0:
            words += " " + vocabulary.objects[self.object_class].replace("_", " ")
        if times > 1:
            words += f" ×{times}"  # noqa: RUF001
        if self.person >= 0:
            words = f"#{self.person} {words}"
        return words if self.score is None else f"{words} {self.score:.2f}"


@dataclass
class Scene:
    """Entities and the pairs between them; `Pair.human` and `.object` index `entities`."""

    entities: list[Entity]
    pairs: list[Pair]


def joined_words(words: Sequence[str]) -> str:
    """`"hold, sit on and ride"`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


@lru_cache(maxsize=16)
def readable_verbs(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Verb names for display: `sit_on` -> `sit on`; V-COCO's `hit_obj` / `hit_instr` -> `hit` /
    `hit with`, and `ride_instr` -> `ride`, as there is no `ride_obj`.
    """
    words = []
    for verb in vocabulary.verbs:
        base, _, role = verb.rpartition("_")
        if role == "instr":
            verb = f"{base}_with" if f"{base}_obj" in vocabulary.verbs else base
        elif role == "obj":
            verb = base
        words.append("no interaction with" if verb == NO_INTERACTION else verb.replace("_", " "))
    return tuple(words)


def hoi_text(vocabulary: Vocabulary, hoi: int) -> str:
    """`"sit on chair"`; the verb alone where there is only one object (MPII's activities)."""
    target, verb = vocabulary.hois[hoi]
    words = readable_verbs(vocabulary)[verb]
    if len(vocabulary.objects) == 1:
        return words
    return f"{words} {vocabulary.objects[target].replace('_', ' ')}"


def box_iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of one (4,) continuous XYXY box with (N, 4) others."""
    corner = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    inter = np.prod(np.clip(corner, 0, None), axis=1)
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    union = areas + np.prod(np.clip(box[2:] - box[:2], 0, None)) - inter
    return np.where(union > 0, inter / np.where(union > 0, union, 1), 0.0)


class _EntityPool:
    """Finds or adds the entity of a box; near-identical boxes of one class are one entity."""

    def __init__(self, *, merge_iou: float) -> None:
        self.entities: list[Entity] = []
        self.merge_iou = merge_iou

    def index_of(self, box: np.ndarray, category: int) -> int:
        rows = [i for i, e in enumerate(self.entities) if e.category == category]
        if rows:
            overlap = box_iou(box, np.stack([self.entities[i].box for i in rows]))
            best = int(np.argmax(overlap))
            if overlap[best] >= self.merge_iou or np.array_equal(
                self.entities[rows[best]].box, box
            ):
                return rows[best]
        self.entities.append(Entity(box=box, category=category))
        return len(self.entities) - 1


def build_scene(
    interactions: Sequence[Interaction],
    vocabulary: Vocabulary,
    *,
    merge_iou: float,
    other_boxes: Sequence[tuple[np.ndarray, int]] = (),
) -> Scene:
    """Merges verbs of one pair and boxes of one thing.

    Args:
        interactions: by descending importance; the first box of a person is drawn.
        vocabulary: class names and the person class.
        merge_iou: boxes of one class with at least this IoU are one entity. HICO-DET's annotators
            drew a person's box again for each of its HOIs; the distribution of the
            IoUs of human boxes in a test image has its minimum at 0.4. More than 1 merges only
            identical boxes.
        other_boxes: (box, class) of entities without interaction.

    Raises:
        ValueError: a human or object box is not finite; the message names the interaction.
    """
    pool = _EntityPool(merge_iou=merge_iou)
    pairs: dict[tuple[int, int, int, str], Pair] = {}
    for row, item in enumerate(interactions):
        human = pool.index_of(_finite(item.human_box, row, "human"), vocabulary.person)
        target = -1
        if item.object_box is not None:
            box = _finite(item.object_box, row, "object")
            target = pool.index_of(box, item.object_class)
        key = (human, target, item.object_class, item.state)
        pair = pairs.setdefault(key, Pair(human, target, item.object_class, item.state))
        pair.person = max(pair.person, item.person)
        if item.verb not in pair.verbs:
            pair.verbs.append(item.verb)
        if item.score is not None:
            pair.score = max(item.score, pair.score or 0.0)
    for box, category in other_boxes:
        pool.index_of(_finite(box, -1, "entity"), category)
    _number_people(pool.entities, list(pairs.values()))
    return Scene(pool.entities, list(pairs.values()))


def _finite(box: np.ndarray, row: int, role: str) -> np.ndarray:
    box = np.asarray(box, dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(f"interaction {row}: {role} box must be 4 finite numbers, got {box}")
    return box


def _number_people(entities: list[Entity], pairs: Sequence[Pair]) -> None:
    """Assigns colour numbers to people.

    Tracked persons keep their own number over frames; otherwise persons with interactions get 0, 1,
    ... in order of appearance.
    """
    acting: dict[int, int] = {}
    for pair in pairs:
        acting[pair.human] = max(pair.person, acting.get(pair.human, -1))
    for number, (human, person) in enumerate(acting.items()):
        entities[human].person = number if person < 0 else person
    for pair in pairs:
        if pair.object >= 0 and entities[pair.human].person not in entities[pair.object].people:
            entities[pair.object].people.append(entities[pair.human].person)
