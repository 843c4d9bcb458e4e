"""Which detections are hits, by each dataset's own rule, and which annotation each hit takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation.average_precision import Ranking, all_point_ap, hits_of, interpolated_ap
from hoi_d2.evaluation.ground_truth import HOIGroundTruth
from hoi_d2.evaluation.matching import (
    PairTable,
    best_pairs,
    first_claims,
    rank,
)
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.evaluation.vcoco_matching import IOU_THRESHOLD, nearest_persons, objects_right
from hoi_d2.evaluation.vcoco_truth import VCOCOTruth, action_of_verb, clean_boxes

MIN_OVERLAP = 0.5


@dataclass(frozen=True, eq=False)
class Judgement:
    """The verdict on R detections and P annotated interactions in C classes.

    Args:
        truth_classes: (P,) HOI id, or verb id where the vocabulary has no HOIs; -1 = the metric
            does not count it.
        result_classes: (R,) the same.
        hit: (R,) bool.
        matched: (R,) row of the annotated interaction that a hit takes, -1 = none.
        num_positives: (C,) annotations that recall is a share of.
        all_point: AP is the area under the curve (V-COCO), not the 11-point mean (HICO-DET).
    """

    truth_classes: np.ndarray
    result_classes: np.ndarray
    hit: np.ndarray
    matched: np.ndarray
    num_positives: np.ndarray
    all_point: bool = False

    def ranking(self, scores: np.ndarray) -> Ranking:
        """The counted detections by class and score."""
        rows = rank(self.result_classes, scores)
        rows = rows[self.result_classes[rows] >= 0]
        return Ranking(rows, self.result_classes[rows], self.hit[rows], self.num_positives)

    def average_precision(self, scores: np.ndarray) -> np.ndarray:
        """(C,) percent; NaN for classes without ground truth."""
        hits = hits_of(self.ranking(scores))
        ap = all_point_ap(hits) if self.all_point else interpolated_ap(hits)
        return np.where(self.num_positives > 0, 100 * ap, np.nan)


def judge_pairs(
    results: HOIResults, images: np.ndarray, truth: HOIGroundTruth, vocabulary: Vocabulary
) -> Judgement:
    """HICO-DET's rule: a detection takes the annotated pair of its image and class with the largest
    min(IoU_human, IoU_object), taken or not; a hit if that is at least 0.5 and the pair is free.

    Without HOI classes (own data), a class is a verb, the object's class is not checked, and a pair
    without object matches only a detection without object.

    Args:
        results: sorted by image; `hoi_classes` filled in.
        images: (R,) row of each detection's image in `truth.image_ids`.
        truth: the annotations.
        vocabulary: of both.
    """
    by_hoi = bool(len(vocabulary.hois))
    truth_classes = _hois(truth, vocabulary) if by_hoi else truth.verb_classes
    result_classes = results.hoi_classes if by_hoi else results.verb_classes
    best, overlap = best_pairs(
        _table(images, result_classes, results.human_boxes, results.object_boxes),
        _table(truth.pair_images, truth_classes, truth.human_boxes, truth.object_boxes),
    )
    right = (overlap >= MIN_OVERLAP) & (result_classes >= 0)
    hit = _first_hits(result_classes, results.scores, np.where(right, best, -1))
    return Judgement(
        truth_classes=truth_classes,
        result_classes=result_classes,
        hit=hit,
        matched=np.where(hit, best, -1),
        num_positives=np.bincount(
            truth_classes[truth_classes >= 0],
            minlength=len(vocabulary.hois) if by_hoi else len(vocabulary.verbs),
        ),
    )


def judge_vcoco(
    results: HOIResults,
    images: np.ndarray,
    truth: HOIGroundTruth,
    vocabulary: Vocabulary,
    dataset_dicts: Sequence[dict[str, Any]],
) -> Judgement:
    """V-COCO's rule, scenario 1 (see `evaluation.vcoco_metrics`): a detection belongs to the person
    that its human box overlaps most; it does not count if V-COCO did not look at that person.

    Actions without object are judged as agents: whatever object they come with.

    Args:
        results, images, truth, vocabulary: see `judge_pairs`.
        dataset_dicts: the records that `truth` was made from.
    """
    people = VCOCOTruth.from_dataset_dicts(dataset_dicts, vocabulary)
    person, overlap = nearest_persons(results.human_boxes, images, people)
    somebody = person >= 0
    actions, action = action_of_verb(vocabulary.verbs)
    verbs = results.verb_classes
    agent = np.array([verb in actions for verb in vocabulary.verbs])
    at = np.where(somebody, person, 0)
    right = somebody & (overlap >= IOU_THRESHOLD)
    if len(people.boxes):
        right &= people.does[at, action[verbs]]
        wanted = people.object_boxes[at, verbs]
        right &= agent[verbs] | objects_right(results.object_boxes, wanted)["role_s1"]
        ignored = somebody & people.ignored[at]
    else:
        ignored = np.zeros(len(results), dtype=bool)
    claims = np.where(right & ~ignored, person * len(vocabulary.verbs) + verbs, -1)
    hit = _first_hits(verbs, results.scores, claims)
    rows = _rows_of_claims(truth, people, vocabulary)
    truth_classes = np.full(len(truth.verb_classes), -1)
    counted = np.array(sorted(rows.values()), dtype=np.int64)
    truth_classes[counted] = truth.verb_classes[counted]
    return Judgement(
        truth_classes=truth_classes,
        result_classes=np.where(ignored, -1, verbs),
        hit=hit,
        matched=np.array([rows.get(c, -1) if h else -1 for c, h in zip(claims.tolist(), hit)], int),
        num_positives=people.does[~people.ignored].sum(axis=0)[action],
        all_point=True,
    )


def _first_hits(classes: np.ndarray, scores: np.ndarray, claims: np.ndarray) -> np.ndarray:
    hit = np.zeros(len(claims), dtype=bool)
    order = rank(classes, scores)
    hit[order] = first_claims(claims[order])
    return hit


def _hois(truth: HOIGroundTruth, vocabulary: Vocabulary) -> np.ndarray:
    """HOI ids of pairs with an object, looked up where the record does not give them; -1 = none."""
    looked_up = vocabulary.hoi_of[truth.object_classes, truth.verb_classes]
    hois = np.where(truth.hoi_classes >= 0, truth.hoi_classes, looked_up)
    return np.where(truth.object_classes >= 0, hois, -1)


def _table(
    images: np.ndarray, classes: np.ndarray, humans: np.ndarray, objects: np.ndarray
) -> PairTable:
    """Keys of image, class and whether there is an object; without one the human box counts."""
    without = np.isnan(objects).any(axis=1)
    keys = (images.astype(np.int64) << 32) + 2 * (classes.astype(np.int64) + 1) + without
    return PairTable(keys, humans, np.where(without[:, None], humans, objects))


def _rows_of_claims(
    truth: HOIGroundTruth, people: VCOCOTruth, vocabulary: Vocabulary
) -> dict[int, int]:
    """(person, verb) as one number -> the first annotated interaction that it stands for."""
    boxes = clean_boxes(truth)[0]
    person_of: dict[tuple[float, ...], int] = {}
    for row in range(len(people.boxes)):
        person_of.setdefault((int(people.images[row]), *people.boxes[row].tolist()), row)
    rows: dict[int, int] = {}
    for pair, (human, image) in enumerate(zip(truth.pair_humans, truth.pair_images)):
        person = person_of.get((int(image), *boxes[human].tolist()))
        if person is not None and not people.ignored[person]:
            rows.setdefault(person * len(vocabulary.verbs) + int(truth.verb_classes[pair]), pair)
    return rows
