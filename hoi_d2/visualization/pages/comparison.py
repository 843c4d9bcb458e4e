"""Compares ground truth with predictions: hits, misses and false alarms of every image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation import matching
from hoi_d2.evaluation.average_precision import Ranking
from hoi_d2.evaluation.ground_truth import HOIGroundTruth, rows_of_images
from hoi_d2.evaluation.hico_det_metrics import score_hico_det
from hoi_d2.evaluation.results import HOIResults, fill_hoi_classes
from hoi_d2.evaluation.vcoco_metrics import score_vcoco
from hoi_d2.evaluation.vcoco_truth import VCOCOTruth, action_of_verb
from hoi_d2.visualization.scene import FALSE_ALARM, HIT, MISS, Interaction


@dataclass(frozen=True, eq=False)
class Judgement:
    """The dataset metric's judgement of R detections and P annotated interactions in C classes.

    Args:
        truth_classes: (P,) HOI id, or V-COCO's action-role; -1 = the metric does not count it.
        result_classes: (R,) the same.
        hit: (R,) bool.
        matched: (R,) row of the annotated interaction that a hit is matched to, -1 = none.
        num_positives: (C,) number of annotations, the denominator of recall.
        average_precision: (C,) percent, NaN for classes without ground truth.
    """

    truth_classes: np.ndarray
    result_classes: np.ndarray
    hit: np.ndarray
    matched: np.ndarray
    num_positives: np.ndarray
    average_precision: np.ndarray


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results and ground truth of one dataset, matched to each other.

    Args:
        vocabulary: vocabulary of the dataset.
        truth: P annotated interactions in N images.
        results: R detections in images of the dataset.
        images: (R,) row of each detection's image in `truth.image_ids`.
        judgement: the matches.
        num_unknown: number of detections that were left out, because the dataset does not have
            their images.
    """

    vocabulary: Vocabulary
    truth: HOIGroundTruth
    results: HOIResults
    images: np.ndarray
    judgement: Judgement
    num_unknown: int = 0

    def class_names(self) -> list[str]:
        """`"ride bicycle"`, or the verb alone where there are no HOI classes."""
        if len(self.vocabulary.hois):
            return [self.vocabulary.hoi_name(c) for c in range(len(self.vocabulary.hois))]
        return list(self.vocabulary.verbs)

    @cached_property
    def ranking(self) -> Ranking:
        """The counted detections by class and score."""
        found = self.judgement
        rows = matching.rank(found.result_classes, self.results.scores)
        rows = rows[found.result_classes[rows] >= 0]
        return Ranking(rows, found.result_classes[rows], found.hit[rows], found.num_positives)

    @property
    def average_precision(self) -> np.ndarray:
        """(C,) percent, by the dataset's rule; NaN for classes without ground truth."""
        return self.judgement.average_precision

    @cached_property
    def found_score(self) -> np.ndarray:
        """(P,) score of the detection that found each annotated interaction, -inf = none did."""
        scores = np.full(len(self.truth.verb_classes), -np.inf)
        taking = np.flatnonzero(self.judgement.matched >= 0)
        scores[self.judgement.matched[taking]] = self.results.scores[taking]
        return scores

    def best_threshold(self) -> float:
        """Returns the score with the largest F1 over all classes; 0 without detections."""
        rows = self.ranking.rows
        rows = rows[np.argsort(-self.results.scores[rows], kind="stable")]
        if not len(rows):
            return 0.0
        positives = self.judgement.num_positives.sum()
        f1 = 2 * np.cumsum(self.judgement.hit[rows]) / (np.arange(1, len(rows) + 1) + positives)
        return float(self.results.scores[rows[np.argmax(f1)]])

    def count(
        self, *, score_threshold: float, classes: Sequence[int] = ()
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) hits, misses and false alarms of each image; arguments as `interactions_of`."""
        truth = self._chosen(self.judgement.truth_classes, classes)
        detected = self._chosen(self.judgement.result_classes, classes)
        detected &= self.results.scores >= score_threshold
        num_images = len(self.truth.image_ids)
        hits = np.bincount(self.images[detected & self.judgement.hit], minlength=num_images)
        alarms = np.bincount(self.images[detected & ~self.judgement.hit], minlength=num_images)
        annotated = np.bincount(self.truth.pair_images[truth], minlength=num_images)
        return hits, annotated - hits, alarms

    def interactions_of(
        self, image: int, *, score_threshold: float, classes: Sequence[int] = ()
    ) -> tuple[list[Interaction], list[Interaction]]:
        """Returns the annotated and the predicted interactions of one image, with states.

        Interactions that the metric does not count (they have no class) have no state.

        Args:
            image: row in `truth.image_ids`.
            score_threshold: minimum score of a detection.
            classes: only these; empty = all.
        """
        annotated = self.truth.pair_images == image
        detected = (self.images == image) & (self.results.scores >= score_threshold)
        if len(classes):
            annotated &= self._chosen(self.judgement.truth_classes, classes)
            detected &= self._chosen(self.judgement.result_classes, classes)
        rows = np.flatnonzero(detected)
        rows = rows[np.argsort(-self.results.scores[rows], kind="stable")]
        wanted = np.flatnonzero(annotated).tolist()
        left = [self._annotated(row, score_threshold) for row in wanted]
        return left, [self._detected(row) for row in rows.tolist()]

    @staticmethod
    def _chosen(ids: np.ndarray, classes: Sequence[int]) -> np.ndarray:
        return np.isin(ids, np.asarray(classes)) if len(classes) else ids >= 0

    @cached_property
    def _truth_boxes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.truth.human_boxes, self.truth.object_boxes, self.truth.object_classes

    def _annotated(self, row: int, score_threshold: float) -> Interaction:
        humans, objects, object_classes = self._truth_boxes
        found = self.found_score[row] >= score_threshold
        return Interaction(
            human_box=humans[row],
            verb=int(self.truth.verb_classes[row]),
            object_box=_present(objects[row]),
            object_class=int(object_classes[row]),
            state="" if self.judgement.truth_classes[row] < 0 else HIT if found else MISS,
        )

    def _detected(self, row: int) -> Interaction:
        counted = self.judgement.result_classes[row] >= 0
        return Interaction(
            human_box=self.results.human_boxes[row],
            verb=int(self.results.verb_classes[row]),
            object_box=_present(self.results.object_boxes[row]),
            object_class=int(self.results.object_classes[row]),
            score=float(self.results.scores[row]),
            state="" if not counted else HIT if self.judgement.hit[row] else FALSE_ALARM,
        )


def compare(
    results: HOIResults,
    dataset_dicts: Sequence[dict[str, Any]],
    vocabulary: Vocabulary,
    *,
    evaluator_type: str = "hico_det",
) -> Comparison:
    """Matches all detections of a result file with the ground truth.

    Args:
        results: the results; those in images that the dataset does not have are counted and left
            out.
        dataset_dicts: the records, with interactions.
        vocabulary: vocabulary of both.
        evaluator_type: the dataset's; "vcoco" is scored by its own rule, scenario 1.

    Raises:
        ValueError: the vocabulary has no HOI classes and the dataset is not V-COCO.
    """
    truth = HOIGroundTruth.from_dataset_dicts(dataset_dicts)
    images = rows_of_images(results.image_ids, truth.image_ids)
    known = np.flatnonzero(images >= 0)
    known = known[np.argsort(images[known], kind="stable")]
    num_unknown = len(results) - len(known)
    results, images = fill_hoi_classes(results[known], vocabulary), images[known]
    if evaluator_type == "vcoco":
        people = VCOCOTruth.from_dataset_dicts(dataset_dicts, vocabulary)
        judgement = _judge_vcoco(results, truth, people, vocabulary)
    elif len(vocabulary.hois):
        judgement = _judge_hico_det(results, truth, vocabulary)
    else:
        raise ValueError(
            f"the vocabulary {vocabulary.name!r} has no HOI classes: only V-COCO is scored by verbs"
        )
    return Comparison(vocabulary, truth, results, images, judgement, num_unknown)


def _judge_hico_det(
    results: HOIResults, truth: HOIGroundTruth, vocabulary: Vocabulary
) -> Judgement:
    """Uses the matches of HICO-DET's metric, row by row."""
    scores = score_hico_det(results, truth, vocabulary)
    ranking = scores.measures["default"].ranking
    truth_classes = np.full(len(truth.hoi_classes), -1)
    truth_classes[scores.positives] = truth.hoi_classes[scores.positives]
    result_classes = np.full(len(results), -1)
    result_classes[scores.rows] = scores.results.hoi_classes
    hits = ranking.rows[ranking.true_positive]
    matched = np.full(len(results), -1)
    matched[scores.rows[hits]] = scores.claims[hits]
    return Judgement(
        truth_classes=truth_classes,
        result_classes=result_classes,
        hit=matched >= 0,
        matched=matched,
        num_positives=scores.num_positives,
        average_precision=np.where(scores.num_positives > 0, 100 * scores.ap_default, np.nan),
    )


def _judge_vcoco(
    results: HOIResults, truth: HOIGroundTruth, people: VCOCOTruth, vocabulary: Vocabulary
) -> Judgement:
    """Uses the matches of V-COCO's metric: role AP of scenario 1, else agent AP.

    The metric matches a hit to a person; the first interaction of that person with that action-role
    is drawn for it.
    """
    scores = score_vcoco(results, people, vocabulary)
    actions, action_of = action_of_verb(vocabulary.verbs)
    alone = np.array([verb in actions for verb in vocabulary.verbs])  # actions without object
    result_classes = np.full(len(results), -1)
    hit = np.zeros(len(results), dtype=bool)
    for name, of_measure in (("role_s1", ~alone), ("agent", alone)):
        ranking = scores.measures[name].ranking
        rows = scores.rows[ranking.rows]
        chosen = of_measure[results.verb_classes[rows]]
        result_classes[rows[chosen]] = results.verb_classes[rows[chosen]]
        hit[rows[chosen]] = ranking.true_positive[chosen]
    keys, first = _interactions_of_people(truth, people, len(vocabulary.verbs))
    truth_classes = np.full(len(truth.verb_classes), -1)
    truth_classes[first] = truth.verb_classes[first]
    persons = np.full(len(results), -1)
    persons[scores.rows] = scores.persons
    matched = np.full(len(results), -1)
    hits = np.flatnonzero(hit)
    wanted = persons[hits] * len(vocabulary.verbs) + results.verb_classes[hits]
    matched[hits] = first[np.searchsorted(keys, wanted)]
    ap = np.where(alone, scores.agent[action_of], scores.role_s1)
    positives = scores.num_positives[action_of]
    return Judgement(
        truth_classes=truth_classes,
        result_classes=result_classes,
        hit=hit,
        matched=matched,
        num_positives=positives,
        average_precision=np.where(positives > 0, 100 * ap, np.nan),
    )


def _interactions_of_people(
    truth: HOIGroundTruth, people: VCOCOTruth, num_verbs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ascending person * num_verbs + verb; the first annotated interaction of each."""
    person_of = np.full(len(truth.entity_classes), -1)
    person_of[people.entities] = np.arange(len(people.entities))
    persons = person_of[truth.pair_humans]
    known = np.flatnonzero(persons >= 0)
    keys = persons[known] * num_verbs + truth.verb_classes[known]
    distinct, first = np.unique(keys, return_index=True)
    return distinct, known[first]


def _present(box: np.ndarray) -> np.ndarray | None:
    return None if np.isnan(box).any() else box
