"""Matches candidate pairs with annotated pairs, many to many, for verb loss and alignment."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor

from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs
from hoi_d2.structures import NO_OBJECT


@dataclass(frozen=True)
class PairMatches:
    """The matches of a batch and its annotated pairs, packed.

    Attributes:
        num_candidates: M, rows of the packed candidate pairs.
        candidates: (E,) candidate of each match.
        annotations: (E,) annotated pair of each match, a row of the following.
        gt_verbs: (P, K) verbs of the annotated pairs that have a visible object.
        gt_object_classes: (P,) classes of their objects.
    """

    num_candidates: int
    candidates: Tensor
    annotations: Tensor
    gt_verbs: Tensor
    gt_object_classes: Tensor

    def to(self, device: torch.device) -> PairMatches:
        """The same on a device."""
        tensors = (self.candidates, self.annotations, self.gt_verbs, self.gt_object_classes)
        return PairMatches(self.num_candidates, *(t.to(device) for t in tensors))

    def num_reached(self) -> int:
        """The number of annotated pairs that at least one candidate matches."""
        return self.annotations.unique().numel()

    def candidate_verbs(self) -> Tensor:
        """(M, K) verbs of each candidate: those of every annotated pair that it matches."""
        verbs = self.gt_verbs.new_zeros(self.num_candidates, self.gt_verbs.shape[1])
        verbs.index_add_(0, self.candidates, self.gt_verbs[self.annotations])
        return verbs.clamp(max=1)


class ReachedPairs:
    """Counts annotated pairs, and those that a candidate matches, over the batches of training."""

    def __init__(self) -> None:
        self.reached = self.annotated = 0

    def add(self, matches: PairMatches) -> None:
        """Counts the pairs of a batch."""
        self.reached += matches.num_reached()
        self.annotated += len(matches.gt_verbs)

    def take(self) -> tuple[int, int]:
        """The counts (reached, annotated) since the last call."""
        counts = self.reached, self.annotated
        self.reached = self.annotated = 0
        return counts


@torch.no_grad()
def match_pairs(
    pairs: CandidatePairs,
    entities: list[Instances],
    interactions: list[Instances],
    *,
    iou_threshold: float,
) -> PairMatches:
    """Matches pairs whose IoU of humans and IoU of objects both reach a threshold (UPT).

    Annotated pairs without a visible object have no matches.

    Args:
        pairs: the candidates of the batch.
        entities: for each image `gt_boxes`, `gt_classes`; on the CPU.
        interactions: for each image `gt_pairs` (P, 2) and `gt_verbs` (P, K); on the CPU.

    Returns:
        The matches, on the CPU.
    """
    candidates, annotations, verbs, classes = [], [], [], []
    first_candidate = first_annotation = 0
    for found, index, gt, targets in zip(
        pairs.instances, pairs.pair_indices, entities, interactions
    ):
        visible = targets[targets.gt_pairs[:, 1] != NO_OBJECT]
        boxes = boxes_in_size(found.pred_boxes, found.image_size, gt.image_size)
        iou = pairwise_iou(boxes, gt.gt_boxes)  # (N, G): once per image, not once per pair
        human, object_ = visible.gt_pairs.unbind(dim=1)
        overlap = torch.minimum(iou[index[:, 0]][:, human], iou[index[:, 1]][:, object_])
        row, column = (overlap >= iou_threshold).nonzero(as_tuple=True)
        candidates.append(row + first_candidate)
        annotations.append(column + first_annotation)
        verbs.append(visible.gt_verbs)
        classes.append(gt.gt_classes[object_])
        first_candidate, first_annotation = (
            first_candidate + len(index),
            first_annotation + len(visible),
        )
    return PairMatches(first_candidate, *map(torch.cat, (candidates, annotations, verbs, classes)))


@torch.no_grad()
def person_verb_targets(
    pairs: CandidatePairs,
    entities: list[Instances],
    interactions: list[Instances],
    *,
    person_verbs: Tensor,
    iou_threshold: float,
) -> Tensor:
    """What the human of each candidate pair does without an object.

    Their annotations name no object, so that no pair matches them; but each pair of a person who
    stands is a pair of a person who stands, and not a negative of it.

    Args:
        pairs, entities, interactions, iou_threshold: as of `match_pairs`.
        person_verbs: (K,) bool, the verbs that never have an object.

    Returns:
        (M, K) in {0, 1}, on the CPU.
    """
    found = []
    for instances, index, gt, targets in zip(
        pairs.instances, pairs.pair_indices, entities, interactions
    ):
        alone = targets[targets.gt_pairs[:, 1] == NO_OBJECT]
        boxes = boxes_in_size(instances.pred_boxes, instances.image_size, gt.image_size)
        iou = pairwise_iou(boxes, gt.gt_boxes)[:, alone.gt_pairs[:, 0]]  # (N, P)
        same = (iou >= iou_threshold).to(targets.gt_verbs.dtype)
        verbs = (same @ (alone.gt_verbs * person_verbs)).clamp(max=1)  # (N, K) of the entities
        found.append(verbs[index[:, 0]])
    return torch.cat(found)


def boxes_in_size(boxes: Boxes, size: tuple[int, int], new_size: tuple[int, int]) -> Boxes:
    """Scales boxes of an image to another size (height, width): some detectors resize images."""
    if tuple(size) == tuple(new_size):
        return boxes
    scale = [new_size[1] / size[1], new_size[0] / size[0]] * 2
    return Boxes(boxes.tensor * boxes.tensor.new_tensor(scale))
