"""Adds annotated entities that the detector has missed to its detections, for training."""

from __future__ import annotations

import torch
from detectron2.structures import Boxes, Instances, pairwise_iou

from hoi_d2.modeling.roi_heads.pair_matching import boxes_in_size

FOUND_IOU = 0.5
"""An annotated entity is found if a detection of its class overlaps it this much."""


@torch.no_grad()
def add_ground_truth(detections: list[Instances], annotated: list[Instances]) -> list[Instances]:
    """Adds the annotated entities that no detection of their class covers, with score 1.

    SCG and UPT train so, since a detector that misses an entity hides all of its pairs. Where
    detections have tokens, an added entity takes the token of the detection that overlaps it most.

    Args:
        detections: for each image `pred_boxes`, `scores`, `pred_classes`, and perhaps `tokens`.
        annotated: for each image `gt_boxes` and `gt_classes`, perhaps in another image size.

    Returns:
        For each image the detections, then the added entities. An image whose detector has tokens
        and found nothing at all stays empty, because there is no token to take.
    """
    return [_with_missed(found, gt) for found, gt in zip(detections, annotated)]


def _with_missed(found: Instances, gt: Instances) -> Instances:
    if not len(gt) or (found.has("tokens") and not len(found)):
        return found
    boxes = boxes_in_size(gt.gt_boxes, gt.image_size, found.image_size)
    iou = pairwise_iou(boxes, found.pred_boxes)  # (G, N)
    same_class = gt.gt_classes[:, None] == found.pred_classes[None]
    missed = ~(same_class & (iou >= FOUND_IOU)).any(dim=1)
    added = Instances(
        found.image_size,
        pred_boxes=Boxes(boxes.tensor[missed].to(found.pred_boxes.tensor.dtype)),
        scores=found.scores.new_ones(int(missed.sum())),
        pred_classes=gt.gt_classes[missed],
    )
    if found.has("tokens"):
        added.tokens = found.tokens[iou[missed].argmax(dim=1)]
    fields = {name: found.get(name) for name in added.get_fields()}
    return Instances.cat([Instances(found.image_size, **fields), added])
