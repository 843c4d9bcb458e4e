"""The verb loss of two-stage HOI detectors, in log space."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn
from torch.nn import functional as F

from hoi_d2.modeling.losses.build import VERB_LOSS_REGISTRY
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
        alpha: weight of a positive; 1 - alpha of a negative ("beta" in RmLR's supplement).
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


@VERB_LOSS_REGISTRY.register()
class VerbFocalLoss(nn.Module):
    """`verb_focal_loss` over the number of positive entries of the whole step, at least 1.

    Args:
        alpha: weight of a positive; 1 - alpha of a negative.
        gamma: focusing exponent; 0 = binary cross-entropy.
    """

    @configurable
    def __init__(self, *, alpha: float = 0.5, gamma: float = 0.2) -> None:
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, float]:
        return {"alpha": cfg.MODEL.RMLR.LOSS.ALPHA, "gamma": cfg.MODEL.RMLR.LOSS.GAMMA}

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, gamma={self.gamma}"

    def forward(self, verb_logits: Tensor, pair_priors: Tensor, gt_verbs: Tensor) -> Tensor:
        """Computes the loss of the candidate pairs.

        Args:
            verb_logits, pair_priors, gt_verbs: (M, K), see `verb_focal_loss`.

        Returns:
            A scalar in fp32.
        """
        total = verb_focal_loss(
            verb_logits, pair_priors, gt_verbs, alpha=self.alpha, gamma=self.gamma
        )
        positives = (gt_verbs * (pair_priors > 0)).sum()
        return total / loss_normalizer("verbs", positives)
