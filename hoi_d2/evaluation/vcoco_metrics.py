"""V-COCO's metrics on arrays: agent AP, and role AP in scenarios 1 and 2.

A detection belongs to the annotated person that its human box overlaps most; if V-COCO has no
labels for that person, the detection is not counted. It is true if the person does the action, the
overlap is at least one half, the object is right, and no better detection has claimed the person.
Source: V-COCO's `vsrl_eval.py`; `docs/evaluation.md` has the rule in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation import average_precision as ap
from hoi_d2.evaluation import matching
from hoi_d2.evaluation.average_precision import Measure
from hoi_d2.evaluation.ground_truth import rows_of_images
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.evaluation.vcoco_truth import ROLES, VCOCOTruth, action_of_verb

IOU_THRESHOLD = 0.5

UNCOUNTED_ROLES = ("point_instr",)
"""Left out of the mean over 24 action-roles, as published figures are."""


@dataclass(frozen=True, eq=False)
class VCOCOScores:
    """AP of each action and action-role, as fractions.

    Args:
        actions: the A names.
        agent: (A,).
        role_s1: (V,) NaN for action-roles without object.
        role_s2: (V,) NaN for action-roles without object.
        num_positives: (A,) persons who do the action.
        measures: `agent`, `role_s1`, `role_s2`; their classes are actions, or action-roles, and
            `rows` of their rankings index `rows` and `persons`.
        rows: (R,) the rows that count, in the results that were given.
        persons: (R,) person of the ground truth that each belongs to, -1 = the image has none.
    """

    actions: tuple[str, ...]
    agent: np.ndarray
    role_s1: np.ndarray
    role_s2: np.ndarray
    num_positives: np.ndarray
    measures: Mapping[str, Measure]
    rows: np.ndarray
    persons: np.ndarray

    def ap_values(self) -> dict[str, np.ndarray]:
        """Returns the arrays that `summarize_vcoco` takes."""
        return {name: getattr(self, name) for name in ("agent", "role_s1", "role_s2")}


def score_vcoco(results: HOIResults, truth: VCOCOTruth, vocabulary: Vocabulary) -> VCOCOScores:
    """Scores detections as V-COCO does.

    Rows of the same image, human box and object box are one pair; its agent score for an action
    with two roles is the larger of the two.

    Args:
        results: the detections; rows in images that `truth` does not hold are not counted.
        truth: of `VCOCOTruth.from_dataset_dicts`.
        vocabulary: its V action-roles.

    Returns:
        AP of every action and action-role; 0 for one without detections or positives.
    """
    actions, action_of = action_of_verb(vocabulary.verbs)
    found = _assign(results, truth)
    verbs = found.results.verb_classes
    does = _of_person(truth.does, found.persons, False, action_of[verbs])
    right = does & (found.overlap >= IOU_THRESHOLD)
    agents = _agent_rows(found, action_of[verbs])
    doers, done = np.nonzero(truth.does)
    measures = {
        "agent": _measure(found, action_of[verbs], right, truth, doers, done, len(actions), agents)
    }
    pairs, roles_done = np.nonzero(done[:, None] == action_of)  # a doer stands for every role
    for scenario, object_right in _objects_right(found, truth).items():
        measures[scenario] = _measure(
            found, verbs, right & object_right, truth, doers[pairs], roles_done, len(action_of)
        )
    values = {name: measure.average_precision() for name, measure in measures.items()}
    for scenario in ("role_s1", "role_s2"):
        values[scenario] = np.where(_with_object(vocabulary), values[scenario], np.nan)
    return VCOCOScores(
        actions=actions,
        num_positives=truth.does.sum(axis=0),
        measures=measures,
        rows=found.rows,
        persons=found.persons,
        **values,
    )


def summarize_vcoco(
    ap_values: Mapping[str, np.ndarray], vocabulary: Vocabulary
) -> dict[str, float]:
    """Means over actions and action-roles.

    Args:
        ap_values: fractions, `agent` (A,), `role_s1` and `role_s2` (V,), as `VCOCOScores` has them.
        vocabulary: the V action-roles.

    Returns:
        Percent: `AP_agent` (26 actions), `AP_role_s1` and `AP_role_s2` (24 action-roles, without
        `point`), `AP_role_s1_25` and `AP_role_s2_25` (with it).
    """
    with_object = _with_object(vocabulary)
    counted = with_object & [v not in UNCOUNTED_ROLES for v in vocabulary.verbs]
    metrics = {"AP_agent": float(np.nanmean(ap_values["agent"]))}
    for name in ("role_s1", "role_s2"):
        metrics[f"AP_{name}"] = float(np.nanmean(ap_values[name][counted]))
        metrics[f"AP_{name}_25"] = float(np.nanmean(ap_values[name][with_object]))
    return {name: 100.0 * value for name, value in metrics.items()}


def nearest_persons(
    boxes: np.ndarray, images: np.ndarray, truth: VCOCOTruth
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the person of the image that each human box overlaps most, ignored ones included.

    Args:
        boxes: (R, 4) human boxes, fastest where equal ones are consecutive.
        images: (R,) row of each one's image.
        truth: the persons.

    Returns:
        (R,) row of the person, -1 = the image has none; (R,) IoU with that person.
    """
    new = np.ones(
        len(boxes), dtype=bool
    )  # rows of one human are mostly consecutive: each box is compared once
    new[1:] = (boxes[1:] != boxes[:-1]).any(axis=1) | (images[1:] != images[:-1])
    heads = np.flatnonzero(new)
    person, overlap = np.full(len(heads), -1), np.zeros(len(heads))
    queries, items, begins = matching.Groups.of(truth.images).join(images[heads])
    rows = np.repeat(queries, np.diff(np.append(begins, len(items))))
    iou = matching.pairwise_iou(boxes[heads[rows]], truth.boxes[items], pixel=1.0)
    best = matching.first_argmax(iou, begins)
    person[queries], overlap[queries] = items[best], iou[best]
    head_of = np.cumsum(new) - 1
    return person[head_of], overlap[head_of]


def objects_right(given: np.ndarray, wanted: np.ndarray) -> dict[str, np.ndarray]:
    """Returns whether object boxes are accepted, in each scenario.

    Args:
        given: (R, 4) detected; NaN or zeros = none.
        wanted: (R, 4) annotated; NaN = none.

    Returns:
        `role_s1` (without an annotated object the box must be empty) and `role_s2` (it may be
        anything), (R,) bool each.
    """
    absent = np.isnan(wanted[:, 0])
    hit = ~absent & (matching.pairwise_iou(given, wanted, pixel=1.0) >= IOU_THRESHOLD)
    empty = np.isnan(given).all(axis=1) | (given == 0).all(axis=1)
    return {"role_s1": hit | (absent & empty), "role_s2": hit | absent}


@dataclass(frozen=True, eq=False)
class _Assigned:
    """Detections that count, image after image, with the person that each belongs to.

    Args:
        results: R rows.
        rows: (R,) their rows in the results that were given.
        images: (R,) row of the image.
        persons: (R,) row of the person, -1 = the image has none.
        overlap: (R,) IoU with the person.
    """

    results: HOIResults
    rows: np.ndarray
    images: np.ndarray
    persons: np.ndarray
    overlap: np.ndarray


def _assign(results: HOIResults, truth: VCOCOTruth) -> _Assigned:
    """Finds each row's person; rows of ignored persons and of unknown images are removed."""
    images = rows_of_images(results.image_ids, truth.image_ids)
    order = np.argsort(images, kind="stable")
    order = order[images[order] >= 0]
    results, images = results[order], images[order]
    persons, overlap = nearest_persons(results.human_boxes, images, truth)
    counted = np.flatnonzero(~_of_person(truth.ignored, persons, False))
    return _Assigned(
        results[counted], order[counted], images[counted], persons[counted], overlap[counted]
    )


def _objects_right(found: _Assigned, truth: VCOCOTruth) -> dict[str, np.ndarray]:
    """Returns whether (R,) the object box is accepted, in each scenario."""
    wanted = _of_person(truth.object_boxes, found.persons, np.nan, found.results.verb_classes)
    return objects_right(found.results.object_boxes, wanted)


def _agent_rows(found: _Assigned, actions: np.ndarray) -> np.ndarray:
    """Returns the best row of each (pair, action), in the order of the rows."""
    results = found.results
    keys = matching.identify_rows(found.images, actions, results.human_boxes, results.object_boxes)
    order = matching.rank(keys, results.scores)
    _, first = np.unique(keys[order], return_index=True)
    return np.sort(order[first])


def _measure(
    found: _Assigned,
    classes: np.ndarray,
    right: np.ndarray,
    truth: VCOCOTruth,
    doers: np.ndarray,
    done: np.ndarray,
    num_classes: int,
    rows: np.ndarray | None = None,
) -> Measure:
    """Ranks and judges rows (None = all); each right one claims its person for its class.

    `doers` are the persons of the positives, `done` the class of each.
    """
    rows = np.arange(len(classes)) if rows is None else rows
    order = rows[matching.rank(classes[rows], found.results.scores[rows])]
    claims = np.where(right, classes * max(len(truth.images), 1) + found.persons, -1)[order]
    ranking = ap.Ranking(
        rows=order,
        classes=classes[order],
        true_positive=matching.first_claims(claims),
        num_positives=np.bincount(done, minlength=num_classes),
    )
    return Measure(ranking, found.images[order], truth.images[doers], done, ap.all_point_ap)


def _with_object(vocabulary: Vocabulary) -> np.ndarray:
    return np.asarray([verb.endswith(ROLES) for verb in vocabulary.verbs])


def _of_person(
    values: np.ndarray, persons: np.ndarray, nobody: Any, column: np.ndarray | None = None
) -> np.ndarray:
    """Takes `values[persons]` or `values[persons, column]`, and `nobody` where the person is -1."""
    some = persons >= 0
    shape = values.shape[1:] if column is None else values.shape[2:]
    found = np.full((len(persons), *shape), nobody)
    index = (persons[some],) if column is None else (persons[some], column[some])
    found[some] = values[index]
    return found
