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
    """Numbers of training images with each label, for C classes."""

    positives: np.ndarray
    """(C,) int64."""
    ambiguous: np.ndarray
    """(C,) int64."""
    images: int


def label_table(records: Sequence[dict[str, Any]], vocabulary: Vocabulary) -> np.ndarray:
    """Returns the labels of records with `image_labels` or pairs, (N, C) int8."""
    rows = [image_labels_of(record, vocabulary) for record in records]
    return np.stack(rows) if rows else np.zeros((0, len(vocabulary.hois)), dtype=np.int8)


def label_counts(labels: np.ndarray) -> LabelCounts:
    """Counts the labels of a table (N, C)."""
    positives, ambiguous = ((labels == v).sum(axis=0) for v in (POSITIVE, AMBIGUOUS))
    return LabelCounts(positives, ambiguous, len(labels))


def training_label_counts(cfg: CfgNode) -> LabelCounts:
    """Counts the labels of DATASETS.TRAIN.

    Raises:
        FileNotFoundError: a dataset is not on disk.
    """
    vocabulary = vocabulary_of(cfg)
    tables = [label_table(DatasetCatalog.get(name), vocabulary) for name in cfg.DATASETS.TRAIN]
    return label_counts(np.concatenate(tables))


def oversampling_repeats(
    labels: np.ndarray, *, min_per_class: int = 40, rule: str = "guarantee"
) -> np.ndarray:
    """Computes how often each image is repeated in an epoch, so that no class is too rare.

    A class with n positive images needs each of them ceil(min / n) times. An image is repeated as
    often as its rarest class needs. Classes without a positive image stay without.

    Args:
        labels: (N, C), positive = 1.
        min_per_class: the minimum number of positive samples of a class in an epoch.
        rule: "guarantee" reaches the minimum; "release" adds at most 40 copies of an image, and
            none where one copy is enough, so classes with min / 2 to min - 1 images stay below.

    Returns:
        (N,) int64, at least 1.

    Raises:
        ValueError: the rule is unknown.
    """
    if rule not in RULES:
        raise ValueError(f"DATALOADER.OVERSAMPLING.RULE: expected one of {RULES}, got {rule!r}")
    positive = labels == POSITIVE
    counts = positive.sum(axis=0)
    copies = -(-min_per_class // np.maximum(counts, 1)) - 1
    if rule == "release":
        copies = np.minimum(copies, _RELEASE_CAP)
        copies[copies == 1] = 0
    copies = np.maximum(copies, 0)
    return 1 + np.where(positive, copies, 0).max(axis=1, initial=0).astype(np.int64)
