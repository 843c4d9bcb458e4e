"""Converts model outputs and dataset dicts to lists of `Interaction`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.visualization.scene import Interaction, hoi_text

if TYPE_CHECKING:
    from detectron2.structures import Instances

_XYXY_ABS = (
    0  # detectron2's BoxMode.XYXY_ABS, so that plots of a log import neither detectron2 nor torch
)


def interactions_from_instances(
    hoi_instances: Instances, *, score_threshold: float = 0.0, top_k: int | None = None
) -> list[Interaction]:
    """Returns the best rows of a model's `hoi_instances`, highest score first.

    Args:
        hoi_instances: Instances from `structures.make_hoi_instances`, on any device; for a video
            optionally with `person_ids`.
        score_threshold: minimum score.
        top_k: maximum number; None = all.
    """
    scores = hoi_instances.scores.detach().float().cpu().numpy()
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= score_threshold][:top_k]
    humans = hoi_instances.human_boxes.tensor.detach().double().cpu().numpy()
    objects = hoi_instances.object_boxes.tensor.detach().double().cpu().numpy()
    classes = hoi_instances.object_classes.cpu().numpy()
    verbs = hoi_instances.verb_classes.cpu().numpy()
    followed = hoi_instances.has("person_ids")
    people = hoi_instances.person_ids.tolist() if followed else [-1] * len(scores)
    return [
        Interaction(
            human_box=humans[i],
            verb=int(verbs[i]),
            object_box=None if np.isnan(objects[i]).any() else objects[i],
            object_class=int(classes[i]),
            score=float(scores[i]),
            person=people[i],
        )
        for i in order
    ]


def interactions_from_record(
    dataset_dict: Mapping[str, Any],
) -> tuple[list[Interaction], list[tuple[np.ndarray, int]]]:
    """Returns the annotations of a dataset dict.

    Returns:
        The interactions, and (box, class) of the entities without interaction.

    Raises:
        ValueError: an index is out of range; the message names the image and the entry.
    """
    annotations = dataset_dict.get("annotations", ())
    boxes = [np.array(_xyxy(a), dtype=np.float64) for a in annotations]
    interactions, named = [], set()
    for number, entry in enumerate(dataset_dict.get("hoi_annotations", ())):
        human, target = int(entry["human"]), int(entry["object"])
        if not (0 <= human < len(boxes) and -1 <= target < len(boxes)):
            raise ValueError(
                f"{dataset_dict.get('file_name')}: hoi_annotations[{number}] names human {human} "
                f"and object {target}, but there are {len(boxes)} annotations"
            )
        named |= {human, target}
        interactions.append(
            Interaction(
                human_box=boxes[human],
                verb=int(entry["verb"]),
                object_box=None if target < 0 else boxes[target],
                object_class=-1 if target < 0 else int(annotations[target]["category_id"]),
            )
        )
    others = [
        (boxes[i], int(annotations[i]["category_id"])) for i in range(len(boxes)) if i not in named
    ]
    return interactions, others


def image_label_texts(
    image_labels: Sequence[int], vocabulary: Vocabulary
) -> list[tuple[str, bool]]:
    """Returns image-level ground truth (HICO, MPII) as text.

    Args:
        image_labels: (C,) 1 = positive, 0 = ambiguous, anything below = not.
        vocabulary: its C HOI classes.

    Returns:
        (text, is certain), the positives first.
    """
    labels = np.asarray(image_labels)
    positive, open_ = (np.flatnonzero(labels == value).tolist() for value in (1, 0))
    certain = [(hoi_text(vocabulary, c), True) for c in positive]
    return certain + [(f"{hoi_text(vocabulary, c)} ?", False) for c in open_]


def _xyxy(annotation: Mapping[str, Any]) -> list[float]:
    mode = annotation.get("bbox_mode", _XYXY_ABS)
    if mode == _XYXY_ABS:
        return annotation["bbox"]
    from detectron2.structures import BoxMode

    return BoxMode.convert(list(annotation["bbox"]), BoxMode(mode), BoxMode.XYXY_ABS)
