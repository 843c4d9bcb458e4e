"""Average precision of many classes at once, on arrays: the 11-point and the all-point rule.

A `Ranking` holds the detections of all classes, class after class, best first. Both rules need only
the true positives: between two of them precision falls. A `Measure` is a ranking that knows the
image of each detection and each positive, so that the AP of any multiset of images (a bootstrap
sample) needs no second matching: whether a detection is true depends on its own image alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

MATLAB_THRESHOLDS = np.concatenate([np.arange(6) * 0.1, 1 - np.arange(4, -1, -1) * 0.1])
"""MATLAB's `0:0.1:1`, which counts from both ends: 0.6 and 0.7 are the nearest doubles."""

NUMPY_THRESHOLDS = np.arange(0.0, 1.1, 0.1)
"""`numpy.arange(0, 1.1, 0.1)`: 0.6000000000000001 and 0.7000000000000001, as QPIC's tool has."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """R detections sorted by class, then by score descending (ties in the order given).

    Args:
        rows: (R,) place of each before sorting.
        classes: (R,) ascending.
        true_positive: (R,) bool.
        num_positives: (C,) ground truth of each class.
    """

    rows: np.ndarray
    classes: np.ndarray
    true_positive: np.ndarray
    num_positives: np.ndarray

    def select(self, keep: np.ndarray) -> Ranking:
        """Returns the same ranking without some detections; the positives stay.

        Args:
            keep: (R,) mask over the ranking's own order.
        """
        rows, classes, hits = self.rows[keep], self.classes[keep], self.true_positive[keep]
        return Ranking(rows, classes, hits, self.num_positives)

    @property
    def num_detections(self) -> np.ndarray:
        """(C,) detections of each class."""
        return np.bincount(self.classes, minlength=len(self.num_positives))


@dataclass(frozen=True, eq=False)
class Hits:
    """The T true positives of a ranking, class after class.

    Args:
        offsets: (C + 1,) where each class begins.
        recalled: (T,) positives found up to and with this one, in its class.
        ranked: (T,) detections up to and with this one, in its class.
        num_positives: (C,).
    """

    offsets: np.ndarray
    recalled: np.ndarray
    ranked: np.ndarray
    num_positives: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """(T,) precision at each true positive."""
        return self.recalled / self.ranked


def hits_of(
    ranking: Ranking,
    weights: np.ndarray | None = None,
    num_positives: np.ndarray | None = None,
) -> Hits:
    """Counts along a ranking, at its true positives.

    Args:
        ranking: the detections.
        weights: (R,) how often each row counts, in the ranking's order, whole numbers; None = once.
        num_positives: (C,) replaces the ranking's own, which ignores the weights.
    """
    positives = ranking.num_positives if num_positives is None else num_positives
    places = np.flatnonzero(ranking.true_positive)
    classes = ranking.classes[places]
    every = np.arange(len(positives) + 1)
    offsets = np.searchsorted(classes, every)
    starts = np.searchsorted(ranking.classes, every)[classes]
    if weights is None:
        recalled = np.arange(1, len(places) + 1) - offsets[classes]
        return Hits(offsets, recalled, places - starts + 1, positives)
    total = np.concatenate([[0], np.cumsum(weights)])
    found = np.concatenate([[0], np.cumsum(weights[places])])
    recalled = found[1:] - found[offsets[classes]]
    ranked = total[places + 1] - total[starts]
    return Hits(offsets, recalled, np.maximum(ranked, 1), positives)


def interpolated_ap(hits: Hits, thresholds: np.ndarray = MATLAB_THRESHOLDS) -> np.ndarray:
    """Returns the mean over recall thresholds of the best precision at that recall or above.

    Args:
        hits: the true positives of a ranking.
        thresholds: (L,) ascending recalls.

    Returns:
        (C,) float64; 0 for a class without detections or without ground truth.
    """
    needed = _needed(hits.num_positives, thresholds)
    first = _first_reaching(hits, needed)
    ends = hits.offsets[1:, None]
    # precision at recall r is the maximum over all hits from r on: first the maxima between
    # consecutive thresholds (reduceat), then the running maximum from the right
    padded = np.append(hits.precision, 0.0)
    parts = np.maximum.reduceat(padded, first.ravel()).reshape(first.shape)
    parts = np.where(first < ends, parts, 0.0)
    best = np.maximum.accumulate(parts[:, ::-1], axis=1)[:, ::-1]
    return best.sum(axis=1) / len(thresholds)


def all_point_ap(hits: Hits) -> np.ndarray:
    """Returns the area under precision made monotone (VOC 2010 and later).

    Returns:
        (C,) float64; 0 for a class without detections or without ground truth.
    """
    ap = np.zeros(len(hits.num_positives))
    for c, positives in enumerate(hits.num_positives):
        part = slice(hits.offsets[c], hits.offsets[c + 1])
        if positives and part.start < part.stop:
            envelope = np.maximum.accumulate(hits.precision[part][::-1])[::-1]
            steps = np.diff(hits.recalled[part], prepend=0)
            ap[c] = np.sum(steps * envelope) / positives
    return ap


def final_recall(hits: Hits) -> np.ndarray:
    """Returns the share of the positives (C,) that is found at all, NaN if there are none."""
    found = np.zeros(len(hits.num_positives))
    some = hits.offsets[1:] > hits.offsets[:-1]
    found[some] = hits.recalled[hits.offsets[1:][some] - 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(hits.num_positives > 0, found / hits.num_positives, np.nan)


@dataclass(frozen=True, eq=False)
class Measure:
    """One kind of average precision of one set of results.

    Args:
        ranking: R detections of C classes.
        images: (R,) row of the image of each detection, in the ranking's order.
        positive_images: (P,) row of the image of each positive.
        positive_classes: (P,) its class.
        rule: hits -> (C,) AP.
    """

    ranking: Ranking
    images: np.ndarray
    positive_images: np.ndarray
    positive_classes: np.ndarray
    rule: Callable[[Hits], np.ndarray]

    def average_precision(self, weights: np.ndarray | None = None) -> np.ndarray:
        """AP of each class.

        Args:
            weights: (N,) how often each image counts, whole numbers; None = once.

        Returns:
            (C,) fractions. With weights NaN for a class that has positives, but none in an image
            that counts.
        """
        if weights is None:
            return self.rule(hits_of(self.ranking))
        positives = np.bincount(
            self.positive_classes,
            weights[self.positive_images],
            minlength=len(self.ranking.num_positives),
        ).astype(np.int64)
        values = self.rule(hits_of(self.ranking, weights[self.images], positives))
        return np.where((positives == 0) & (self.ranking.num_positives > 0), np.nan, values)

    def select(self, keep: np.ndarray) -> Measure:
        """Without some detections; `keep` is a mask in the ranking's order."""
        return Measure(
            self.ranking.select(keep),
            self.images[keep],
            self.positive_images,
            self.positive_classes,
            self.rule,
        )


Summary = Callable[[Mapping[str, np.ndarray]], Mapping[str, float]]
"""AP per class of each measure -> metrics in percent."""


@dataclass(frozen=True, eq=False)
class System:
    """Scored results of one system.

    Args:
        measures: name -> ranked detections; of all systems that are compared, on the same images.
        summarize: see `Summary`.
    """

    measures: Mapping[str, Measure]
    summarize: Summary

    def metrics(self, weights: np.ndarray | None = None) -> dict[str, float]:
        """Returns the metrics, each image counted `weights` times."""
        ap = {name: m.average_precision(weights) for name, m in self.measures.items()}
        return dict(self.summarize(ap))


def _needed(num_positives: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Returns the least number (C, L) of hits whose recall, as a double, reaches each threshold."""
    positives = np.maximum(num_positives, 1)[:, None]
    guess = np.maximum(np.ceil(thresholds * positives) - 1, 0).astype(np.int64)
    while (short := guess / positives < thresholds).any():
        guess = guess + short
    return guess


def _first_reaching(hits: Hits, needed: np.ndarray) -> np.ndarray:
    """Returns the first hit (C, L) of each class that reaches `needed`, or the class's end."""
    classes = np.arange(len(needed))
    # `recalled` starts again at 1 in each class; adding the hits of all classes before makes it one
    # ascending array, so that a single binary search serves all classes and thresholds
    totals = np.zeros(len(needed), dtype=np.int64)
    some = hits.offsets[1:] > hits.offsets[:-1]
    totals[some] = hits.recalled[hits.offsets[1:][some] - 1]
    before = np.cumsum(totals) - totals
    of_hit = np.repeat(classes, np.diff(hits.offsets))
    running = hits.recalled + before[of_hit]
    first = np.searchsorted(running, before[:, None] + np.maximum(needed, 1))
    beyond = needed > totals[:, None]  # never reached: the search has run into the next class
    return np.where(beyond, hits.offsets[1:, None], np.minimum(first, hits.offsets[1:, None]))
