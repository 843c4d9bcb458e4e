"""Measures how much AP each kind of error costs, after the idea of TIDE (Bolya et al., 2020).

Every false positive gets one cause, every annotated pair that no detection found may be missed. For
each cause AP is computed again as if that error alone had been corrected; the difference is the
cost of the error. The costs do not add up to 100, because one error can hide another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation import average_precision as ap
from hoi_d2.evaluation import matching
from hoi_d2.evaluation.ground_truth import HOIGroundTruth, rows_of_images
from hoi_d2.evaluation.hico_det_metrics import IOU_THRESHOLD, HICODetScores

NEAR = 0.1
"""A box that overlaps this much but less than IOU_THRESHOLD is badly placed, below it wrong."""

CAUSES: Mapping[str, str] = {
    "human box": "right class and object, human box badly placed",
    "object box": "right class and human, object box badly placed",
    "both boxes": "right class, both boxes badly placed",
    "wrong verb": "an annotated pair with this object, under another verb",
    "wrong object": "an annotated pair with this verb, under another object",
    "duplicate": "right, but a better detection has found the pair",
    "wrong pairing": "both boxes are annotated, not as a pair",
    "background": "none of these",
}
MISSED = "missed"


@dataclass(frozen=True, eq=False)
class ErrorAnalysis:
    """The cost of each error.

    Args:
        mean_ap: of the results, in percent.
        costs: cause -> points of mean AP that correcting it would give.
        counts: cause -> false positives with it; `missed` -> annotated pairs not found.
        cause_of: (R,) index into `CAUSES` of each scored row, -1 = true or not counted.
    """

    mean_ap: float
    costs: Mapping[str, float]
    counts: Mapping[str, int]
    cause_of: np.ndarray


def analyze_errors(
    scores: HICODetScores,
    ground_truth: HOIGroundTruth,
    vocabulary: Vocabulary,
    *,
    evaluated: np.ndarray | None = None,
) -> ErrorAnalysis:
    """Finds the cause of every error and its cost.

    Args:
        scores: of `score_hico_det` with the official protocol.
        ground_truth: the same that was scored against.
        vocabulary: its C HOI classes.
        evaluated: (C,) mask of the classes of the mean, None = all.
    """
    ranking = scores.measures["default"].ranking
    cause, target = find_causes(scores, ground_truth, vocabulary)
    found = scores.claims[ranking.rows[ranking.true_positive]]
    chosen = np.ones(len(ranking.num_positives), bool) if evaluated is None else evaluated

    def mean_ap(changed: ap.Ranking) -> float:
        return 100 * float(ap.interpolated_ap(ap.hits_of(changed))[chosen].mean())

    mean = mean_ap(ranking)
    table = _Corrections(scores, ground_truth, found)
    costs, counts = {}, {}
    for number, name in enumerate(CAUSES):
        rows = np.flatnonzero(cause == number)
        counts[name] = len(rows)
        costs[name] = mean_ap(table.correct(rows, target[rows])) - mean
    covered = np.unique(target[(cause >= 0) & (target >= 0)])
    missed = table.missed(covered)
    counts[MISSED] = len(missed)
    costs[MISSED] = mean_ap(table.without_positives(missed)) - mean
    return ErrorAnalysis(mean, costs, counts, cause)


def find_causes(
    scores: HICODetScores, ground_truth: HOIGroundTruth, vocabulary: Vocabulary
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cause of each false positive and the annotated pair that it should have been.

    Args:
        scores: of `score_hico_det`.
        ground_truth: the same.
        vocabulary: the classes.

    Returns:
        (R,) index into `CAUSES` of each of `scores.results`, -1 = true or not counted;
        (R,) row of the pair in the ground truth, -1 = none: correcting it removes the row.
    """
    ranking, results = scores.measures["default"].ranking, scores.results
    cause, target = np.full(len(results), -1), np.full(len(results), -1)
    wrong = np.sort(ranking.rows[~ranking.true_positive])
    images = rows_of_images(results.image_ids[wrong], ground_truth.image_ids)
    judge = _Judge(scores, ground_truth, vocabulary, wrong, images)
    names = list(CAUSES)
    for name, (rows, pairs) in judge.findings().items():
        new = cause[wrong[rows]] < 0  # the first cause that applies stands
        cause[wrong[rows[new]]] = names.index(name)
        target[wrong[rows[new]]] = pairs[new]
    cause[wrong[cause[wrong] < 0]] = names.index("background")
    return cause, target


class _Judge:
    """Looks for each cause among the false positives."""

    def __init__(
        self,
        scores: HICODetScores,
        ground_truth: HOIGroundTruth,
        vocabulary: Vocabulary,
        wrong: np.ndarray,
        images: np.ndarray,
    ) -> None:
        results = scores.results[wrong]
        self._truth, self._images = ground_truth, images
        self._humans, self._objects = results.human_boxes, results.object_boxes
        self._classes = results.hoi_classes
        self._object_classes, self._verbs = vocabulary.hois[self._classes].T
        self._claims = scores.claims[wrong]
        self._scored = np.flatnonzero(
            (ground_truth.hoi_classes >= 0) & (ground_truth.pair_objects >= 0)
        )

    def findings(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Cause -> (rows, annotated pair of each), in the order in which causes are tried."""
        truth = self._truth
        found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        rows = np.flatnonzero(self._claims >= 0)
        found["duplicate"] = rows, self._claims[rows]
        rows, pairs, humans, objects = self._join(self._classes, truth.hoi_classes)
        near_h, near_o = _near(humans), _near(objects)
        right_h, right_o = humans >= IOU_THRESHOLD, objects >= IOU_THRESHOLD
        for name, applies in (
            ("human box", near_h & right_o),
            ("object box", right_h & near_o),
            ("both boxes", near_h & near_o),
        ):
            found[name] = _best(rows, pairs, np.minimum(humans, objects), applies)
        half_right = _best(rows, pairs, np.maximum(humans, objects), right_h | right_o)
        for name, mine, theirs in (
            ("wrong verb", self._object_classes, truth.object_classes),
            ("wrong object", self._verbs, truth.verb_classes),
        ):
            rows, pairs, humans, objects = self._join(mine, theirs)
            overlap = np.minimum(humans, objects)
            found[name] = _best(rows, pairs, overlap, overlap >= IOU_THRESHOLD)
        found["wrong pairing"] = self._wrong_pairs(half_right)
        return found

    def _join(
        self, mine: np.ndarray, theirs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Returns every (row, annotated pair) of one image with equal values, and the two IoUs."""
        many = int(max(mine.max(initial=0), theirs.max(initial=0))) + 1
        truth, scored = self._truth, self._scored
        groups = matching.Groups.of(truth.pair_images[scored] * many + theirs[scored])
        queries, items, begins = groups.join(self._images * many + mine)
        rows = np.repeat(queries, np.diff(np.append(begins, len(items))))
        pairs = scored[items]
        humans = matching.pairwise_iou(self._humans[rows], truth.human_boxes[pairs])
        objects = matching.pairwise_iou(self._objects[rows], truth.object_boxes[pairs])
        return rows, pairs, humans, objects

    def _wrong_pairs(
        self, half_right: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        truth = self._truth
        is_human = np.zeros(len(truth.entity_classes), dtype=bool)
        is_human[truth.pair_humans] = True
        human = self._on_entity(self._humans, np.flatnonzero(is_human), None)
        every = np.arange(len(truth.entity_classes))
        obj = self._on_entity(self._objects, every, self._object_classes)
        target = np.full(len(human), -1)
        target[half_right[0]] = half_right[1]
        rows = np.flatnonzero(human & obj)
        return rows, target[rows]

    def _on_entity(
        self, boxes: np.ndarray, entities: np.ndarray, classes: np.ndarray | None
    ) -> np.ndarray:
        """Returns whether (R,) a box is on one of these entities (of its class)."""
        truth = self._truth
        many = int(truth.entity_classes.max(initial=0)) + 1
        keys, queries = truth.entity_images[entities] * many, self._images * many
        if classes is not None:
            known = classes < many
            keys = keys + truth.entity_classes[entities]
            queries = np.where(known, queries + classes, -1)
        with_items, items, begins = matching.Groups.of(keys).join(queries)
        rows = np.repeat(with_items, np.diff(np.append(begins, len(items))))
        iou = matching.pairwise_iou(boxes[rows], truth.entity_boxes[entities[items]])
        on = np.zeros(len(boxes), dtype=bool)
        on[rows[iou >= IOU_THRESHOLD]] = True
        return on


class _Corrections:
    """Rankings with one kind of error corrected."""

    def __init__(
        self, scores: HICODetScores, ground_truth: HOIGroundTruth, found: np.ndarray
    ) -> None:
        self._ranking = scores.measures["default"].ranking
        self._scores = scores.results.scores
        self._classes = ground_truth.hoi_classes
        self._found = np.zeros(len(self._classes), dtype=bool)
        self._found[found] = True
        self._counted = np.zeros(len(self._classes), dtype=bool)
        self._counted[(self._classes >= 0) & (ground_truth.pair_objects >= 0)] = True

    def correct(self, rows: np.ndarray, pairs: np.ndarray) -> ap.Ranking:
        """Turns the rows into the pairs they should have been; rows that remain are removed.

        The best row of a pair that nothing has found becomes true, under the pair's class and
        with its own score; rows of a pair that is found, or of no pair, are removed.
        """
        useful = np.flatnonzero(pairs >= 0)
        useful = useful[~self._found[pairs[useful]]]
        useful = useful[np.argsort(-self._scores[rows[useful]], kind="stable")]
        _, first = np.unique(pairs[useful], return_index=True)
        repaired = useful[first]
        ranking = self._ranking
        stay = ~np.isin(ranking.rows, rows)
        all_rows = np.concatenate([ranking.rows[stay], rows[repaired]])
        classes = np.concatenate([ranking.classes[stay], self._classes[pairs[repaired]]])
        true = np.concatenate([ranking.true_positive[stay], np.ones(len(repaired), dtype=bool)])
        order = matching.rank(classes, self._scores[all_rows])
        return ap.Ranking(all_rows[order], classes[order], true[order], ranking.num_positives)

    def missed(self, covered: np.ndarray) -> np.ndarray:
        """Annotated pairs that nothing has found and no other error accounts for."""
        missing = self._counted & ~self._found
        missing[covered] = False
        return np.flatnonzero(missing)

    def without_positives(self, pairs: np.ndarray) -> ap.Ranking:
        """As if these pairs were not annotated."""
        ranking = self._ranking
        fewer = np.bincount(self._classes[pairs], minlength=len(ranking.num_positives))
        positives = ranking.num_positives - fewer
        return ap.Ranking(ranking.rows, ranking.classes, ranking.true_positive, positives)


def _near(iou: np.ndarray) -> np.ndarray:
    return (iou >= NEAR) & (iou < IOU_THRESHOLD)


def _best(
    rows: np.ndarray, pairs: np.ndarray, overlap: np.ndarray, applies: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each row that a cause applies to, with the pair of the largest overlap."""
    rows, pairs, overlap = rows[applies], pairs[applies], overlap[applies]
    order = np.lexsort((-overlap, rows))
    distinct, first = np.unique(rows[order], return_index=True)
    return distinct, pairs[order][first]
