"""V-COCO's metrics on arrays: agent AP, and role AP in scenarios 1 and 2.

A detection belongs to the annotated person that its human box overlaps most, whoever that is; if
V-COCO did not look at that person, the detection vanishes. It is true if the person does the
action, the overlap is at least one half, the object is right, and no better detection has claimed
the person. Source: V-COCO's `vsrl_eval.py`; `docs/evaluation.md` has the rule in full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation import average_precision as ap
from hoi_d2.evaluation import matching
from hoi_d2.evaluation.ground_truth import HOIGroundTruth, rows_of_images
from hoi_d2.evaluation.measure import Measure
from hoi_d2.evaluation.results import HOIResults

IOU_THRESHOLD = 0.5
UNCOUNTED_ROLES = ("point_instr",)
"""Left out of the mean over 24 action-roles, as published figures are."""

UNOFFICIAL = (
    "the annotations do not say which persons V-COCO has looked at (only the official label file "
    "with COCO's instances does): persons without interactions are ignored, crowds and tiny boxes "
    "are as the file has them, and the figures differ from the official ones"
)

_ROLES = ("_obj", "_instr")


def action_of_verb(verbs: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """V-COCO's actions and the action of each action-role.

    Args:
        verbs: action-roles such as `hit_instr`, or `walk` for an action without object.

    Returns:
        The A action names, in order of first appearance; (V,) action of each verb.
    """
    names = [next((v[: -len(r)] for r in _ROLES if v.endswith(r)), v) for v in verbs]
    actions = tuple(dict.fromkeys(names))
    return actions, np.asarray([actions.index(n) for n in names])


@dataclass(frozen=True, eq=False)
class VCOCOTruth:
    """H annotated persons, image after image, and what they do to what.

    Args:
        image_ids: (N,) ascending.
        images: (H,) row of each person's image.
        boxes: (H, 4) XYXY, inclusive pixels, as the official tool cleans them.
        ignored: (H,) bool, V-COCO did not look at this person.
        does: (H, A) bool, the person does the action.
        object_boxes: (H, V, 4) the object of the action-role, NaN = none in the picture.
    """

    image_ids: np.ndarray
    images: np.ndarray
    boxes: np.ndarray
    ignored: np.ndarray
    does: np.ndarray
    object_boxes: np.ndarray

    @classmethod
    def from_dataset_dicts(
        cls, dataset_dicts: Sequence[dict[str, Any]], vocabulary: Vocabulary
    ) -> VCOCOTruth:
        """Ground truth from dataset dicts.

        The keys `area` and `labelled` of an entity, which the official form of the annotations
        has, say what the official tool drops and ignores. Without them nothing is dropped, and the
        persons without interactions are ignored.
        """
        truth = HOIGroundTruth.from_dataset_dicts(dataset_dicts)
        dicts = sorted(dataset_dicts, key=lambda record: record["image_id"])
        entities = [e for d in dicts for e in d.get("annotations", ())]
        boxes, sound = clean_boxes(truth)
        sound &= np.asarray([e.get("area", 1) > 0 for e in entities], dtype=bool)
        labelled = np.asarray([e.get("labelled", False) for e in entities], dtype=bool)
        labelled[truth.pair_humans] = True
        persons = np.flatnonzero(sound & (truth.entity_classes == vocabulary.person))
        row_of = np.full(len(entities), -1)
        row_of[persons] = np.arange(len(persons))
        kept = row_of[truth.pair_humans] >= 0
        humans, verbs = row_of[truth.pair_humans[kept]], truth.verb_classes[kept]
        objects = truth.pair_objects[kept]
        actions, action = action_of_verb(vocabulary.verbs)
        does = np.zeros((len(persons), len(actions)), dtype=bool)
        does[humans, action[verbs]] = True
        object_boxes = np.full((len(persons), len(vocabulary.verbs), 4), np.nan)
        visible = np.flatnonzero((objects >= 0) & sound[objects])[::-1]  # the first one stays
        object_boxes[humans[visible], verbs[visible]] = boxes[objects[visible]]
        return cls(
            image_ids=truth.image_ids,
            images=truth.entity_images[persons],
            boxes=boxes[persons],
            ignored=~labelled[persons],
            does=does,
            object_boxes=object_boxes,
        )


def clean_boxes(truth: HOIGroundTruth) -> tuple[np.ndarray, np.ndarray]:
    """The entities' boxes as the official tool has them: inclusive, inside the image, float32.

    Returns:
        (E, 4) XYXY; (E,) bool, the box has more than one pixel in both directions.
    """
    boxes = truth.entity_boxes.copy()
    boxes[:, 2:] = boxes[:, :2] + np.maximum(boxes[:, 2:] - boxes[:, :2] - 1.0, 0.0)
    sizes = truth.image_sizes[truth.entity_images]
    limits = np.where(sizes > 0, sizes - 1.0, np.inf)  # (height, width); unknown = unlimited
    for axis in (0, 1):
        boxes[:, axis::2] = np.clip(boxes[:, axis::2], 0.0, limits[:, 1 - axis, None])
    sound = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return boxes.astype(np.float32).astype(np.float64), sound


@dataclass(frozen=True, eq=False)
class VCOCOScores:
    """AP of each action and action-role, as fractions.

    Args:
        actions: the A names.
        agent: (A,).
        role_s1: (V,) NaN for action-roles without object.
        role_s2: (V,) NaN for action-roles without object.
        num_positives: (A,) persons who do the action.
        measures: `agent`, `role_s1`, `role_s2`; their classes are actions, or action-roles.
    """

    actions: tuple[str, ...]
    agent: np.ndarray
    role_s1: np.ndarray
    role_s2: np.ndarray
    num_positives: np.ndarray
    measures: Mapping[str, Measure]

    def ap_values(self) -> dict[str, np.ndarray]:
        """The arrays that `summarize_vcoco` takes."""
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
    images = rows_of_images(results.image_ids, truth.image_ids)
    order = np.argsort(images, kind="stable")
    order = order[images[order] >= 0]
    results, images = results[order], images[order]
    persons, overlap = _persons_of(results, images, truth)
    counted = np.flatnonzero(~_of_person(truth.ignored, persons, False))
    results, images = results[counted], images[counted]
    persons, overlap = persons[counted], overlap[counted]

    actions, action = action_of_verb(vocabulary.verbs)
    verbs, hit_action = results.verb_classes, action[results.verb_classes]
    right = (overlap >= IOU_THRESHOLD) & _of_person(truth.does, persons, False, hit_action)
    object_right = _objects_right(results, persons, truth)
    positives = truth.does.sum(axis=0)

    doers, done = np.nonzero(truth.does)
    of_roles = np.flatnonzero(action[None] == done[:, None])
    doer_of_role, role_done = doers[of_roles // len(action)], of_roles % len(action)
    agents = _agent_rows(results, images, hit_action)
    ranking = _ranking(hit_action, results, persons, right, positives, agents)
    measures = {"agent": _measure(ranking, images, truth.images[doers], done)}
    for scenario, ok in object_right.items():
        ranking = _ranking(verbs, results, persons, right & ok, positives[action], None)
        measures[scenario] = _measure(ranking, images, truth.images[doer_of_role], role_done)
    values = {name: measure.average_precision() for name, measure in measures.items()}
    without_role = np.asarray([v == actions[a] for v, a in zip(vocabulary.verbs, action)])
    return VCOCOScores(
        actions=actions,
        agent=values["agent"],
        role_s1=np.where(without_role, np.nan, values["role_s1"]),
        role_s2=np.where(without_role, np.nan, values["role_s2"]),
        num_positives=positives,
        measures=measures,
    )


def _measure(
    ranking: ap.Ranking,
    images: np.ndarray,
    positive_images: np.ndarray,
    positive_classes: np.ndarray,
) -> Measure:
    of_rows = images[ranking.rows]
    return Measure(ranking, of_rows, positive_images, positive_classes, ap.all_point_ap)


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
    with_role = np.asarray([v.endswith(_ROLES) for v in vocabulary.verbs])
    counted = with_role & [v not in UNCOUNTED_ROLES for v in vocabulary.verbs]
    metrics = {"AP_agent": float(np.nanmean(ap_values["agent"]))}
    for name in ("role_s1", "role_s2"):
        metrics[f"AP_{name}"] = float(np.nanmean(ap_values[name][counted]))
        metrics[f"AP_{name}_25"] = float(np.nanmean(ap_values[name][with_role]))
    return {name: 100.0 * value for name, value in metrics.items()}


def _persons_of(
    results: HOIResults, images: np.ndarray, truth: VCOCOTruth
) -> tuple[np.ndarray, np.ndarray]:
    """The annotated person that each human box overlaps most (-1: none in the image), and IoU."""
    boxes = results.human_boxes
    new = np.ones(len(boxes), dtype=bool)  # rows of one human mostly stand together
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


def _objects_right(
    results: HOIResults, persons: np.ndarray, truth: VCOCOTruth
) -> dict[str, np.ndarray]:
    """(R,) whether the object box is accepted, in each scenario; False without a person."""
    boxes = _of_person(truth.object_boxes, persons, np.nan, results.verb_classes)
    absent = np.isnan(boxes[:, 0])
    overlap = matching.pairwise_iou(results.object_boxes, boxes, pixel=1.0)
    empty = np.isnan(results.object_boxes).all(axis=1) | (results.object_boxes == 0).all(axis=1)
    found = ~absent & (overlap >= IOU_THRESHOLD)
    return {"role_s1": found | (absent & empty), "role_s2": found | absent}


def _agent_rows(results: HOIResults, images: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The best row of each (pair, action), in the order of the rows."""
    keys = matching.identify_rows(images, actions, results.human_boxes, results.object_boxes)
    order = matching.rank(keys, results.scores)
    _, first = np.unique(keys[order], return_index=True)
    return np.sort(order[first])


def _of_person(
    values: np.ndarray, persons: np.ndarray, nobody: Any, column: np.ndarray | None = None
) -> np.ndarray:
    """`values[persons]` or `values[persons, column]`, and `nobody` where the person is -1."""
    some = persons >= 0
    shape = values.shape[1:] if column is None else values.shape[2:]
    found = np.full((len(persons), *shape), nobody)
    index = (persons[some],) if column is None else (persons[some], column[some])
    found[some] = values[index]
    return found


def _ranking(
    classes: np.ndarray,
    results: HOIResults,
    persons: np.ndarray,
    right: np.ndarray,
    positives: np.ndarray,
    rows: np.ndarray | None,
) -> ap.Ranking:
    rows = np.arange(len(classes)) if rows is None else rows
    order = rows[matching.rank(classes[rows], results.scores[rows])]
    claims = np.where(right, classes * (persons.max(initial=0) + 1) + persons, -1)[order]
    return ap.Ranking(order, classes[order], matching.first_claims(claims), positives)
