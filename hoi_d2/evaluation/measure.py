"""Average precision with images weighed: what intervals and comparisons are made of.

A `Measure` is a ranked and judged list of detections that remembers which image each detection and
each positive belongs to, so that AP can be computed again for any multiset of images without
matching again: whether a detection is true depends on its own image alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hoi_d2.evaluation.average_precision import Hits, Ranking, hits_of


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
