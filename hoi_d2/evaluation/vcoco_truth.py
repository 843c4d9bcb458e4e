"""V-COCO's ground truth as its official tool reads it: persons, their actions and objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import ROLES, Vocabulary
from hoi_d2.evaluation.ground_truth import HOIGroundTruth

UNOFFICIAL = (
    "the annotations do not say which persons V-COCO has labelled (only the official label file "
    "with COCO's instances does): persons without interactions are ignored, crowds and tiny boxes "
    "are as the file has them, and the figures differ from the official ones"
)


def action_of_verb(verbs: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """V-COCO's actions and the action of each action-role.

    Args:
        verbs: action-roles such as `hit_instr`, or `walk` for an action without object.

    Returns:
        The A action names, in order of first appearance; (V,) action of each verb.
    """
    names = [next((v[: -len(r)] for r in ROLES if v.endswith(r)), v) for v in verbs]
    actions = tuple(dict.fromkeys(names))
    return actions, np.asarray([actions.index(n) for n in names])


@dataclass(frozen=True, eq=False)
class VCOCOTruth:
    """H annotated persons, image after image, and their actions and objects.

    Args:
        image_ids: (N,) ascending.
        images: (H,) row of each person's image.
        entities: (H,) row of each person among the entities of `HOIGroundTruth`.
        boxes: (H, 4) XYXY, inclusive pixels, as the official tool cleans them.
        ignored: (H,) bool, V-COCO has no labels for this person.
        does: (H, A) bool, the person does the action.
        object_boxes: (H, V, 4) the object of the action-role, NaN = none in the image.
    """

    image_ids: np.ndarray
    images: np.ndarray
    entities: np.ndarray
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
        does, object_boxes = _actions_of(truth, persons, boxes, sound, vocabulary)
        return cls(
            image_ids=truth.image_ids,
            images=truth.entity_images[persons],
            entities=persons,
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
    sound = np.asarray((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    return boxes.astype(np.float32).astype(np.float64), sound


def _actions_of(
    truth: HOIGroundTruth,
    persons: np.ndarray,
    boxes: np.ndarray,
    sound: np.ndarray,
    vocabulary: Vocabulary,
) -> tuple[np.ndarray, np.ndarray]:
    """`does` and `object_boxes` of the persons; a removed object counts as none."""
    row_of = np.full(len(boxes), -1)
    row_of[persons] = np.arange(len(persons))
    kept = row_of[truth.pair_humans] >= 0
    humans, verbs = row_of[truth.pair_humans[kept]], truth.verb_classes[kept]
    actions, action = action_of_verb(vocabulary.verbs)
    does = np.zeros((len(persons), len(actions)), dtype=bool)
    does[humans, action[verbs]] = True
    objects = truth.pair_objects[kept]
    object_boxes = np.full((len(persons), len(vocabulary.verbs), 4), np.nan)
    visible = np.flatnonzero((objects >= 0) & sound[objects])[::-1]  # of several the first stays
    object_boxes[humans[visible], verbs[visible]] = boxes[objects[visible]]
    return does, object_boxes
