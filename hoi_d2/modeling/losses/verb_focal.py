"""The verb loss of two-stage HOI detectors, in log space."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hoi_d2.modeling.losses.normalizer import loss_normalizer

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
    log_score = F.logsigmoid(logits) + prior.log()
    # 1 - prior * sigmoid(l) = (1 - prior) + prior * sigmoid(-l): a sum without cancellation, so a
    # confident mistake at prior 1 keeps its loss and its gradient.
    log_rest = torch.logaddexp(
        torch.log1p(-prior.clamp(max=1)), F.logsigmoid(-logits) + prior.log()
    )
    cross_entropy = -(y * log_score + (1 - y) * log_rest)
    weight = (1 - y - alpha).abs() * ((y - log_score.exp()).abs() + _EPS) ** gamma
    return (weight * cross_entropy).sum()


def verb_loss(
    verb_logits: Tensor, pair_priors: Tensor, gt_verbs: Tensor, *, alpha: float, gamma: float
) -> Tensor:
    """`verb_focal_loss` over the number of positive entries of the whole step, at least 1."""
    total = verb_focal_loss(verb_logits, pair_priors, gt_verbs, alpha=alpha, gamma=gamma)
    positives = (gt_verbs * (pair_priors > 0)).sum()
    return total / loss_normalizer("verbs", positives)
