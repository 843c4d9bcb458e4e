"""The verb loss of two-stage HOI detectors, in log space, and which verbs a candidate pair has."""

from __future__ import annotations

import torch
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor
from torch.nn import functional as F

from hoi_d2.modeling.loss_normalizer import loss_normalizer
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs
from hoi_d2.structures import NO_OBJECT

_EPS = 1e-6


def verb_focal_loss(
    verb_logits: Tensor, pair_priors: Tensor, gt_verbs: Tensor, *, alpha: float, gamma: float
) -> Tensor:
    """Focal loss of the score prior * sigmoid(logit), summed over possible (pair, verb) entries.

    UPT's published form, log(prior / (1 + exp(-logit) - prior)), overflows: its gradient is NaN at
    logit -89 and its value at prior 1. In log space it is the same wherever that one is finite.

    Args:
        verb_logits: (M, K).
        pair_priors: (M, K) in 0..1; 0 = the verb is impossible for the object and left out.
        gt_verbs: (M, K) in {0, 1}.
        alpha: weight of a negative; 1 - alpha of a positive ("beta" in RmLR's supplement).
        gamma: focusing exponent.

    Returns:
        A scalar in fp32, not divided by anything.
    """
    possible = pair_priors > 0
    logits, prior, y = (t[possible].float() for t in (verb_logits, pair_priors, gt_verbs))
    # At prior 1 the score may reach 1 and log(1 - score) its end: it stops at log(1e-6).
    log_score = F.logsigmoid(logits) + prior.log()
    score = log_score.exp()
    log_rest = torch.log1p(-score.clamp(max=1 - _EPS))
    cross_entropy = -(y * log_score + (1 - y) * log_rest)
    weight = (1 - y - alpha).abs() * ((y - score).abs() + _EPS) ** gamma
    return (weight * cross_entropy).sum()


def verb_loss(
    verb_logits: Tensor, pair_priors: Tensor, gt_verbs: Tensor, *, alpha: float, gamma: float
) -> Tensor:
    """`verb_focal_loss` over the number of positive entries of the whole step, at least 1."""
    total = verb_focal_loss(verb_logits, pair_priors, gt_verbs, alpha=alpha, gamma=gamma)
    positives = (gt_verbs * (pair_priors > 0)).sum()
    return total / loss_normalizer("verbs", positives)


@torch.no_grad()
def match_verbs(
    pairs: CandidatePairs,
    entities: list[Instances],
    interactions: list[Instances],
    *,
    iou_threshold: float,
    num_verbs: int,
) -> Tensor:
    """(M, K) verbs of the candidate pairs: those of every annotated pair that they match.

    A candidate matches where min(IoU of humans, IoU of objects) reaches the threshold, many to
    many (UPT). Annotated pairs without a visible object match nothing.

    Args:
        entities: for each image `gt_boxes`.
        interactions: for each image `gt_pairs` (P, 2) and `gt_verbs` (P, K).
    """
    matched = []
    for found, index, gt, targets in zip(
        pairs.instances, pairs.pair_indices, entities, interactions
    ):
        visible = targets[targets.gt_pairs[:, 1] != NO_OBJECT]
        boxes = _in_size(found, gt.image_size)
        iou = pairwise_iou(boxes, gt.gt_boxes)  # (N, G): once an image, not per pair
        human, object_ = visible.gt_pairs.unbind(dim=1)
        overlap = torch.minimum(iou[index[:, 0]][:, human], iou[index[:, 1]][:, object_])
        verbs = (overlap >= iou_threshold).float() @ visible.gt_verbs
        matched.append(verbs.clamp(max=1).reshape(len(index), num_verbs))
    return torch.cat(matched)


def _in_size(found: Instances, size: tuple[int, int]) -> Boxes:
    """The boxes in an image of another size: some detectors resize their input themselves."""
    if tuple(found.image_size) == tuple(size):
        return found.pred_boxes
    scale = [size[1] / found.image_size[1], size[0] / found.image_size[0]] * 2
    boxes = found.pred_boxes.tensor
    return Boxes(boxes * boxes.new_tensor(scale))
