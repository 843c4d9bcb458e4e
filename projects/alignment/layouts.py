"""HICO-DET's annotations as layouts: a part to train on, a part to choose by, the test set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hoi_d2.data.dataset import open_dataset
from hoi_d2.data.holdout import hold_out
from hoi_d2.data.layout_mapper import LayoutMapper
from hoi_d2.data.vocabulary import (
    hico_det_rare_hois,
    hico_det_unseen_hois,
    hico_det_vocabulary,
    hico_few_shot_hois,
)
from hoi_d2.data.zero_shot import without_unseen
from hoi_d2.evaluation.ground_truth import HOIGroundTruth
from hoi_d2.evaluation.hico_det_metrics import score_hico_det
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.modeling.meta_arch.layout import (
    LayoutRmLR,
    human_object_pairs,
    match_packed,
    packed,
    packed_targets,
)
from hoi_d2.modeling.roi_heads.pair_matching import PairMatches

VOCABULARY = hico_det_vocabulary()
_FILES = {"train": "trainval_hico.json", "test": "test_hico.json"}
_IOU, _BATCH = 0.5, 64


@dataclass(frozen=True)
class Layouts:
    """Images as `LayoutMapper` gives them, and what is scored against.

    Attributes:
        inputs: of the model, one an image.
        truth: their annotated pairs.
    """

    inputs: list[dict[str, Any]]
    truth: HOIGroundTruth

    @classmethod
    def of(cls, records: list[dict[str, Any]]) -> Layouts:
        """Maps dataset dicts."""
        mapper = LayoutMapper(is_train=True, num_verbs=len(VOCABULARY.verbs))
        return cls([mapper(r) for r in records], HOIGroundTruth.from_dataset_dicts(records))

    def part(self, share: float) -> Layouts:
        """A random share of the images, always the same; to train on."""
        generator = torch.Generator().manual_seed(0)
        rows = torch.randperm(len(self.inputs), generator=generator)
        rows = rows[: round(share * len(rows))].sort().values
        return Layouts([self.inputs[i] for i in rows.tolist()], self.truth)


def groups(unseen: str = "") -> dict[str, tuple[int, ...]]:
    """HOI classes of the columns: rare and few-shot ones, or with a zero-shot split its own."""
    if not unseen:
        few = {f"few{i}": hois for i, hois in hico_few_shot_hois().items()}
        return {"rare": tuple(hico_det_rare_hois()), **few}
    hidden = hico_det_unseen_hois(unseen)
    seen = tuple(sorted(set(range(len(VOCABULARY.hois))) - set(hidden)))
    return {"unseen": tuple(hidden), "seen": seen}


def load(folder: Path, *, unseen: str = "") -> dict[str, Layouts]:
    """`train`, `val` (a tenth of the training images, always the same) and `test`.

    Args:
        folder: of HICO-DET's annotation files, as PPDM and QPIC name them.
        unseen: zero-shot split ("rf_uc", ...), whose unseen classes `train` lacks; "" = none.
    """
    train, held = hold_out(list(open_dataset(folder / _FILES["train"], split="train").records))
    if unseen:
        train = without_unseen(train, hico_det_unseen_hois(unseen))
    test = list(open_dataset(folder / _FILES["test"], split="test").records)
    parts = {"train": train, "val": held, "test": test}
    return {name: Layouts.of(records) for name, records in parts.items()}


def batches(layouts: Layouts, size: int, steps: int, seed: int) -> Iterator[list[dict[str, Any]]]:
    """Batches of a training run: epochs in an order of their own, the same for every variant."""
    generator = torch.Generator().manual_seed(seed)
    queue: list[int] = []
    for _ in range(steps):
        if len(queue) < size:
            queue += torch.randperm(len(layouts.inputs), generator=generator).tolist()
        chosen, queue = queue[:size], queue[size:]
        yield [layouts.inputs[i] for i in chosen]


@dataclass(frozen=True)
class Looked:
    """A batch as the model sees it in testing.

    Attributes:
        logits: (M, K) of all pairs.
        overall: (M, D) the vectors of L^m; None without it, or if they were not asked for.
        matches: which pairs are annotated.
        boxes: (M, 2, 4) human and object.
        kinds, images: (M,) class of the object, `image_id`.
    """

    logits: Tensor
    overall: Tensor | None
    matches: PairMatches
    boxes: Tensor
    kinds: Tensor
    images: Tensor


@torch.no_grad()
def look(model: LayoutRmLR, layouts: Layouts, *, vectors: bool = False) -> Iterator[Looked]:
    """Every human with every other annotated box; no dropout.

    Args:
        model: in testing mode.
        layouts: the images.
        vectors: whether to compute those of L^m too.
    """
    heads = model.interaction_heads
    heads.training = vectors  # of this module alone: its parts stay without dropout
    for start in range(0, len(layouts.inputs), _BATCH):
        batch = layouts.inputs[start : start + _BATCH]
        instances = [x["instances"] for x in batch]
        annotated = packed(instances)
        found = annotated.merged(_IOU, len(VOCABULARY.objects))
        counts = torch.bincount(found.images, minlength=len(batch))
        rows = human_object_pairs(found, counts, VOCABULARY.person)
        targets = packed_targets([x["hoi_instances"] for x in batch], instances)
        matches = match_packed(found, rows, annotated, *targets, _IOU)
        seen = heads.pair_vectors(found.boxes, found.classes, found.scores, counts.tolist(), rows)
        ids = torch.tensor([x["image_id"] for x in batch])
        yield Looked(
            seen.verb_logits,
            seen.overall,
            matches,
            found.boxes[rows],
            found.classes[rows[:, 1]],
            ids[found.images[rows[:, 0]]],
        )
    heads.training = False


def results(looked: Looked, hoi_of: Tensor, logits: Tensor) -> HOIResults:
    """The scores of all classes that a pair can be; `logits` (M, K)."""
    hois = hoi_of[looked.kinds]
    pair, verb = (hois >= 0).nonzero(as_tuple=True)
    human, object_ = looked.boxes[pair].unbind(dim=1)
    columns = (looked.images[pair], human, object_, looked.kinds[pair], verb, hois[pair, verb])
    scores = logits.sigmoid()[pair, verb]
    return HOIResults(*(c.numpy() for c in (*columns, scores)))


def score(model: LayoutRmLR, layouts: Layouts, unseen: str = "") -> dict[str, float]:
    """mAP in percent over all classes and over `groups`, by HICO-DET's official rule."""
    hoi_of = torch.from_numpy(VOCABULARY.hoi_of)
    found = [results(looked, hoi_of, looked.logits) for looked in look(model.eval(), layouts)]
    return means(found, layouts, unseen)


def means(found: list[HOIResults], layouts: Layouts, unseen: str = "") -> dict[str, float]:
    """mAP in percent over all classes and over `groups`, by HICO-DET's official rule.

    Means run over the classes that have an annotated pair in `layouts`: all of them in the test
    set, fewer in a tenth of the training images. few1, few5 and few10 are HICO's classes with at
    most so many positive training images.
    """
    scores = score_hico_det(HOIResults.concatenate(found), layouts.truth, VOCABULARY)
    present = scores.num_positives > 0
    values = {"all": 100 * scores.ap_default[present].mean()}
    for name, hois in groups(unseen).items():
        chosen = np.zeros(len(present), dtype=bool)
        chosen[list(hois)] = True
        values[name] = 100 * scores.ap_default[chosen & present].mean()
    return {name: float(value) for name, value in values.items()}
