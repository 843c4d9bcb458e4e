"""The two Instances of an image: its entities and its human-object pairs.

Pairs have their own Instances because all fields of one Instances have the same length, and because
detectron2's `detector_postprocess` drops empty boxes, which would leave pair indices dangling.
"""

from __future__ import annotations

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

Losses = dict[str, Tensor]
"""What a meta-architecture gives in training: `loss_...` -> scalar, already weighted."""

ImageResults = dict[str, Instances]
"""What a detector finds in one image, in its original size: `instances` (entities) and, of a
model that pairs them, `hoi_instances` (their interactions)."""

NO_OBJECT = -1
"""Index or class of the object of an interaction that has no visible object."""

RESULT_FIELDS = (
    "human_boxes",
    "object_boxes",
    "object_classes",
    "verb_classes",
    "hoi_classes",
    "scores",
    "pair_indices",
)


def make_hoi_targets(
    *, image_size: tuple[int, int], gt_pairs: Tensor, gt_verbs: Tensor, num_entities: int
) -> Instances:
    """Ground-truth pairs of one image.

    Args:
        image_size: (height, width) of the image the entities' boxes are in.
        gt_pairs: (P, 2) int64, rows of the image's `instances`: human, object (-1 = none).
        gt_verbs: (P, K) multi-hot.
        num_entities: how many rows `instances` has.

    Raises:
        ValueError: the shapes differ, or an index is out of range.
    """
    pairs = gt_pairs.reshape(-1, 2)
    if len(pairs) != len(gt_verbs):
        raise ValueError(f"{len(pairs)} gt_pairs but {len(gt_verbs)} rows of gt_verbs")
    if len(pairs):
        low, high = pairs.amin(dim=0), pairs.amax(dim=0)
        if low[0] < 0 or low[1] < NO_OBJECT or high.max() >= num_entities:
            raise ValueError(
                f"gt_pairs must index {num_entities} entities (object may be -1), got humans "
                f"{int(low[0])}..{int(high[0])}, objects {int(low[1])}..{int(high[1])}"
            )
    return Instances(image_size, gt_pairs=pairs, gt_verbs=gt_verbs.float())


def make_hoi_instances(
    *,
    image_size: tuple[int, int],
    human_boxes: Tensor,
    object_boxes: Tensor,
    object_classes: Tensor,
    verb_classes: Tensor,
    hoi_classes: Tensor,
    scores: Tensor,
    pair_indices: Tensor,
) -> Instances:
    """Detected interactions of one image, R rows, highest score first.

    Args:
        image_size: (height, width).
        human_boxes: (R, 4) XYXY absolute pixels.
        object_boxes: (R, 4), a row of NaN where there is no visible object.
        object_classes: (R,) entity class, -1 where there is no visible object.
        verb_classes: (R,).
        hoi_classes: (R,), -1 where the vocabulary has no such class.
        scores: (R,).
        pair_indices: (R, 2) rows of the image's `instances` before any box is dropped.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    return Instances(
        image_size,
        human_boxes=Boxes(human_boxes.reshape(-1, 4)[order]),
        object_boxes=Boxes(object_boxes.reshape(-1, 4)[order]),
        object_classes=object_classes[order],
        verb_classes=verb_classes[order],
        hoi_classes=hoi_classes[order],
        scores=scores[order],
        pair_indices=pair_indices.reshape(-1, 2)[order],
    )


def empty_hoi_instances(
    image_size: tuple[int, int], device: torch.device | str = "cpu"
) -> Instances:
    """The result of an image without pairs: every field of `RESULT_FIELDS` with no rows."""
    ids = torch.zeros(0, dtype=torch.int64, device=device)
    boxes = torch.zeros(0, 4, device=device)
    return make_hoi_instances(
        image_size=image_size,
        human_boxes=boxes,
        object_boxes=boxes,
        object_classes=ids,
        verb_classes=ids,
        hoi_classes=ids,
        scores=boxes[:, 0],
        pair_indices=ids.new_zeros(0, 2),
    )
