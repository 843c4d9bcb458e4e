"""HICO-DET's metric of the same candidates with ever new scores: they are matched once."""

from __future__ import annotations

import numpy as np
from pairs import VOCABULARY, Pairs
from torch import Tensor

from hoi_d2.evaluation import average_precision as ap
from hoi_d2.evaluation import matching
from hoi_d2.evaluation.scorers import HICODetScorer


class Scorer:
    """The official AP of each class.

    Args:
        records: dataset dicts.
        pairs: of the same images.
    """

    def __init__(self, records: list[dict], pairs: Pairs) -> None:
        self.candidates = pairs.candidates
        details = HICODetScorer(records, VOCABULARY).score(self.candidates[1]).details
        self.rows, self.claims = details.rows, details.claims
        self.num_positives = details.num_positives

    def average_precision(self, logits: Tensor) -> np.ndarray:
        """(600,) fractions, of (M, 600) logits of the pairs."""
        pair, results = self.candidates
        scores = logits[pair, results.hoi_classes].numpy()[self.rows]
        classes = results.hoi_classes[self.rows]
        order = matching.rank(classes, scores)
        ranking = ap.Ranking(
            rows=order,
            classes=classes[order],
            true_positive=matching.first_claims(self.claims[order]),
            num_positives=self.num_positives,
        )
        return ap.interpolated_ap(ap.hits_of(ranking))
