"""Over-sampling of rare classes for image-level recognition.

DEFR (Jin et al., arXiv 2203.05676), section 4.1: each class has at least 40 samples per epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.classification_mapper import image_labels_of
from hoi_d2.data.datasets.hico import AMBIGUOUS, POSITIVE
from hoi_d2.data.vocabulary import Vocabulary

RULES = ("guarantee", "release")
_RELEASE_CAP = 40


class LabelCounts(NamedTuple):
    """How many of the training images have a label, for each of C classes."""

    positives: np.ndarray
    """(C,) int64."""
    ambiguous: np.ndarray
    """(C,) int64."""
    images: int


def label_table(records: Sequence[dict[str, Any]], vocabulary: Vocabulary) -> np.ndarray:
    """(N, C) int8 labels of records that have `image_labels` or pairs."""
    rows = [image_labels_of(record, vocabulary) for record in records]
    return np.stack(rows) if rows else np.zeros((0, len(vocabulary.hois)), dtype=np.int8)


def label_counts(labels: np.ndarray) -> LabelCounts:
    """Counts of a (N, C) table."""
    positives, ambiguous = ((labels == v).sum(axis=0) for v in (POSITIVE, AMBIGUOUS))
    return LabelCounts(positives, ambiguous, len(labels))


def training_label_counts(cfg: CfgNode) -> LabelCounts:
    """Counts over DATASETS.TRAIN.

    Raises:
        FileNotFoundError: a dataset is not on disk.
    """
    vocabulary = vocabulary_of(cfg)
    tables = [label_table(DatasetCatalog.get(name), vocabulary) for name in cfg.DATASETS.TRAIN]
    return label_counts(np.concatenate(tables))


def oversampling_repeats(
    labels: np.ndarray, *, min_per_class: int = 40, rule: str = "guarantee"
) -> np.ndarray:
    """How often an epoch shows each image, so that no class is too rare in it.

    A class with n positive images needs each of them ceil(min / n) times; an image is shown as
    often as the neediest of its classes wants. A class without a positive image cannot be helped.

    Args:
        labels: (N, C), positive = 1.
        min_per_class: positive samples of a class in an epoch, at least.
        rule: "guarantee"; or "release", which adds at most 40 copies of an image, and none where
            one copy would do: classes with min / 2 to min - 1 images stay below.

    Returns:
        (N,) int64, at least 1.

    Raises:
        ValueError: no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"DATALOADER.OVERSAMPLING.RULE {rule!r}: one of {RULES}")
    positive = labels == POSITIVE
    counts = positive.sum(axis=0)
    copies = -(-min_per_class // np.maximum(counts, 1)) - 1
    if rule == "release":
        copies = np.minimum(copies, _RELEASE_CAP)
        copies[copies == 1] = 0
    copies = np.maximum(copies, 0)
    return 1 + np.where(positive, copies, 0).max(axis=1, initial=0).astype(np.int64)
