"""Annotated boxes made to look like a detector's: moved, missing, found twice, and too many.

Annotated entities take part in an interaction, nearly all of them, and their boxes are exact. A
detector also finds people and things that do nothing, finds some twice, and misses some. A model
trained on annotated boxes alone gives such bystanders interactions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torchvision.ops import batched_nms


@dataclass(frozen=True)
class PackedEntities:
    """The entities of a batch, packed.

    Args:
        boxes: (E, 4) XYXY pixels.
        classes: (E,).
        scores: (E,) in 0..1; exactly 1 = annotated, not detected.
        images: (E,) which image each is in.
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor
    images: Tensor

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: Tensor) -> PackedEntities:
        """The rows of an index or a mask."""
        return PackedEntities(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def concatenate(cls, parts: list[PackedEntities]) -> PackedEntities:
        """All rows, image after image; within an image the parts keep their order."""
        whole = cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))
        return whole[whole.images.argsort(stable=True)]

    def merged(self, threshold: float, num_classes: int) -> PackedEntities:
        """Without the entities that overlap with a better one of their class and image."""
        kind = self.images * num_classes + self.classes
        order = batched_nms(self.boxes, self.scores, kind, threshold)
        return self[order.sort().values]


class LayoutNoise:
    """Simulates the detections of a detector from annotated entities.

    The scores are calibrated: of the entities with score s the share s is real. So a model whose
    result is s_h * s_o * sigmoid(logit) learns the chance of the verb given that both are real.
    Bystanders are entities of other images of the batch, box and class.

    Args:
        share: of the images that get any noise; the others stay exact.
        person: the class of humans.
        jitter: standard deviation of centre and log size, in shares of the size, is drawn from 0
            to twice this for each image.
        drop: chance that an entity is missed.
        repeat: chance that an entity is found a second time, badly.
        bystanders: expected number of humans, and of objects, that are real and do nothing.
        lowest_score: a detector gives nothing below.
    """

    def __init__(
        self,
        *,
        share: float = 0.5,
        person: int = 0,
        jitter: float = 0.05,
        drop: float = 0.05,
        repeat: float = 0.1,
        bystanders: tuple[float, float] = (0.4, 0.6),
        lowest_score: float = 0.2,
    ) -> None:
        self.share, self.person, self.jitter = share, person, jitter
        self.drop, self.repeat, self.bystanders = drop, repeat, bystanders
        self.lowest_score = lowest_score

    def __call__(self, entities: PackedEntities, num_images: int) -> PackedEntities:
        """Adds noise to the entities, image by image; the input is not changed."""
        noisy = (torch.rand(num_images) < self.share).to(entities.images.device)
        exact, rest = entities[~noisy[entities.images]], entities[noisy[entities.images]]
        found = rest[_uniform(rest.scores) >= self.drop]
        again = found[_uniform(found.scores) < self.repeat]
        amount = (2 * self.jitter * torch.rand(num_images)).to(found.boxes)[found.images, None]
        false_per_real = (1 - self.lowest_score) / (1 + self.lowest_score)
        hosts = noisy.nonzero()[:, 0]
        parts = [
            exact,
            self._scored(found, _moved(found.boxes, amount), is_real=True),
            self._scored(again, _moved(again.boxes, 0.25), is_real=False),
        ]
        is_human = entities.classes == self.person
        for bank, expected in zip((entities[is_human], entities[~is_human]), self.bystanders):
            for rate, is_real in ((expected, True), (expected * false_per_real, False)):
                drawn = _drawn(bank, hosts, rate)
                parts.append(self._scored(drawn, drawn.boxes, is_real=is_real))
        return PackedEntities.concatenate(parts)

    def _scored(self, found: PackedEntities, boxes: Tensor, *, is_real: bool) -> PackedEntities:
        """Draws scores below 1, with density ~ s for real entities and ~ 1 - s for others."""
        low, share = self.lowest_score, _uniform(found.scores)
        real = (low**2 + share * (1 - low**2)).sqrt().clamp(max=0.998)
        scores = real if is_real else 1 - (1 - low) * (1 - share).sqrt()
        return PackedEntities(boxes, found.classes, scores, found.images)


def without_crowds(
    entities: PackedEntities, num_images: int, max_pairs: int, *, person: int = 0
) -> PackedEntities:
    """With so few humans, drawn at random, that an image has at most about `max_pairs` pairs.

    An image of a crowd has as many pairs as a hundred others, and costs as much time.
    """
    is_human = entities.classes == person
    humans = torch.bincount(entities.images[is_human], minlength=num_images)
    others = torch.bincount(entities.images[~is_human], minlength=num_images)
    # the largest k with k (k + others - 1) <= max_pairs
    half = (others - 1) / 2
    limit = ((half**2 + max_pairs).sqrt() - half + 1e-4).floor().clamp(min=1)
    # rank of each human in its image by a random number
    draw = torch.where(is_human, _uniform(entities.scores), torch.full_like(entities.scores, 2.0))
    order = (entities.images * 3 + draw).argsort()
    first = (humans + others).cumsum(0) - humans - others
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    rank = rank - first[entities.images]
    return entities[~is_human | (rank < limit[entities.images])]


def _uniform(like: Tensor) -> Tensor:
    """Random numbers of the CPU's generator, so that a seed gives the same on every device."""
    return torch.rand(len(like)).to(like)


def _moved(boxes: Tensor, amount: Tensor | float) -> Tensor:
    size = boxes[:, 2:] - boxes[:, :2]
    center = boxes[:, :2] + size * (0.5 + amount * torch.randn(len(size), 2).to(size))
    half = size * (amount * torch.randn(len(size), 2).to(size)).exp() / 2
    return torch.cat([center - half, center + half], dim=1)


def _drawn(bank: PackedEntities, hosts: Tensor, rate: float) -> PackedEntities:
    """Entities of the batch at random, Poisson(`rate`) for each of the images `hosts`."""
    numbers = torch.poisson(torch.full((len(hosts),), rate)).long().to(hosts.device)
    images = hosts.repeat_interleave(numbers)
    if not len(bank):
        images = images[:0]
    chosen = bank[torch.randint(max(len(bank), 1), (len(images),)).to(hosts.device)]
    return PackedEntities(chosen.boxes, chosen.classes, chosen.scores, images)
