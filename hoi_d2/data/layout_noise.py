"""Annotated boxes made to look like a detector's: moved, missing, found twice, and too many.

Annotated entities take part in an interaction, all of them, and their boxes are exact. A detector
also finds people and things that do nothing, finds some twice, and misses some. A model trained on
annotated boxes alone gives such bystanders interactions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Entities as a detector gives them.

    Args:
        boxes: (N, 4) XYXY pixels.
        classes: (N,).
        scores: (N,) in 0..1; exactly 1 = annotated, not detected.
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray

    @classmethod
    def annotated(cls, boxes: np.ndarray, classes: np.ndarray) -> Detections:
        """Entities that are certain."""
        return cls(boxes, classes, np.ones(len(classes)))

    def __getitem__(self, rows: np.ndarray) -> Detections:
        return Detections(self.boxes[rows], self.classes[rows], self.scores[rows])


class LayoutNoise:
    """What a detector might have found where these entities are.

    The scores are calibrated: of the entities with score s the share s is real. So a model whose
    result is s_h * s_o * sigmoid(logit) learns the chance of the verb given that both are real.

    Args:
        bank_boxes, bank_classes: (E, 4), (E,) entities of the training set. Bystanders are drawn
            from them, with box and class.
        person: the class of humans.
        jitter: standard deviation of centre and log size, in shares of the size, is drawn from 0
            to twice this for each image.
        drop: chance that an entity is missed.
        repeat: chance that an entity is found a second time, badly.
        bystanders: expected number of humans and of objects that are real and do nothing.
        lowest_score: a detector gives nothing below.
    """

    def __init__(
        self,
        *,
        bank_boxes: np.ndarray,
        bank_classes: np.ndarray,
        person: int = 0,
        jitter: float = 0.05,
        drop: float = 0.05,
        repeat: float = 0.1,
        bystanders: tuple[float, float] = (0.4, 0.6),
        lowest_score: float = 0.2,
    ) -> None:
        humans = bank_classes == person
        self._banks = [(bank_boxes[kind], bank_classes[kind]) for kind in (humans, ~humans)]
        self.jitter, self.drop, self.repeat = jitter, drop, repeat
        self.bystanders, self.lowest_score = bystanders, lowest_score

    def __call__(self, entities: Detections, rng: np.random.Generator) -> Detections:
        """Entities with noise; the annotated ones that are left come first, in their order."""
        found = entities[rng.random(len(entities.classes)) >= self.drop]
        again = found[rng.random(len(found.classes)) < self.repeat]
        boxes = [_moved(found.boxes, self.jitter * 2 * rng.random(), rng)]
        classes, number = [found.classes], len(found.classes)
        false_boxes, false_classes = [_moved(again.boxes, 0.25, rng)], [again.classes]
        for bank, expected in zip(self._banks, self.bystanders):
            real, false = (_drawn(bank, rng.poisson(expected * r), rng) for r in (1, self._false))
            boxes.append(real[0])
            classes.append(real[1])
            number += len(real[1])
            false_boxes.append(false[0])
            false_classes.append(false[1])
        false_number = sum(map(len, false_classes))
        return Detections(
            np.concatenate(boxes + false_boxes),
            np.concatenate(classes + false_classes),
            np.concatenate([self.real_scores(number, rng), self.false_scores(false_number, rng)]),
        )

    def real_scores(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Scores of real entities: density ~ s from the lowest score to 1, which none reaches."""
        low = self.lowest_score
        return np.sqrt(low**2 + rng.random(number) * (1 - low**2)).clip(max=0.998)

    def false_scores(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Scores of what is none: density ~ 1 - s."""
        return 1 - (1 - self.lowest_score) * np.sqrt(1 - rng.random(number))

    @property
    def _false(self) -> float:
        """How many false entities there are for each real one, by the two densities."""
        return (1 - self.lowest_score) / (1 + self.lowest_score)


def without_crowd(
    entities: Detections, max_pairs: int, rng: np.random.Generator, *, person: int = 0
) -> Detections:
    """With so few humans, drawn at random, that there are at most about `max_pairs` pairs.

    An image of a crowd has as many pairs as a hundred others, and costs as much time.
    """
    is_human = entities.classes == person
    number, others = int(is_human.sum()), int((~is_human).sum())
    kept = number
    while kept > 1 and kept * (kept + others - 1) > max_pairs:
        kept -= 1
    if kept == number:
        return entities
    chosen = rng.choice(np.flatnonzero(is_human), kept, replace=False)
    return entities[np.sort(np.concatenate([chosen, np.flatnonzero(~is_human)]))]


def _moved(boxes: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    size = boxes[:, 2:] - boxes[:, :2]
    center = boxes[:, :2] + size * (0.5 + amount * rng.standard_normal(size.shape))
    half = size * np.exp(amount * rng.standard_normal(size.shape)) / 2
    return np.concatenate([center - half, center + half], axis=1)


def _drawn(
    bank: tuple[np.ndarray, np.ndarray], number: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    boxes, classes = bank
    rows = rng.integers(len(classes), size=number) if len(classes) else np.zeros(0, dtype=int)
    return boxes[rows], classes[rows]
