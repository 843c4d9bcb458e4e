"""LSE-Sign over the verbs of a pair: DEFR's loss of an image, with a pair in its place."""

from __future__ import annotations

from detectron2.config import CfgNode, configurable
from torch import Tensor, nn

from hoi_d2.modeling.losses.build import VERB_LOSS_REGISTRY
from hoi_d2.modeling.losses.lse_sign import lse_sign_loss
from hoi_d2.modeling.losses.normalizer import loss_normalizer


@VERB_LOSS_REGISTRY.register()
class VerbLSESign(nn.Module):
    """log(1 + sum exp(-y s)) over the possible verbs of each pair (DEFR, equation 2).

    It sums over the pairs and divides by the number of positive entries of the whole step, at
    least 1, as `VerbFocalLoss` does. The size of a prior does not count, only whether it is 0.
    """

    @configurable
    def __init__(self) -> None:
        super().__init__()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, float]:
        return {}

    def forward(self, verb_logits: Tensor, pair_priors: Tensor, gt_verbs: Tensor) -> Tensor:
        """Computes the loss of the candidate pairs.

        Args:
            verb_logits, gt_verbs: (M, K) logits, and targets in {0, 1}.
            pair_priors: (M, K); 0 = the verb is left out.

        Returns:
            A scalar in fp32.
        """
        possible = pair_priors > 0
        positive = (gt_verbs > 0) & possible
        total = lse_sign_loss(verb_logits, positive, ~possible).sum()
        return total / loss_normalizer("verbs", positive.sum())
