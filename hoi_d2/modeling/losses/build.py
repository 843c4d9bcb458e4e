"""The registry of verb losses; `MODEL.RMLR.LOSS.NAME` names one."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.utils.registry import Registry
from torch import nn

VERB_LOSS_REGISTRY = Registry("VERB_LOSS")
VERB_LOSS_REGISTRY.__doc__ = """
Losses of the verbs of candidate pairs. A class is built as `Loss(cfg)`, and called as
`loss(verb_logits, pair_priors, gt_verbs) -> scalar` with three (M, K) tensors of M pairs and K
verbs: logits; priors in 0..1, where 0 = the verb is impossible for the object; and targets in
{0, 1}. A loss that is a sum over the positives divides it by `loss_normalizer("verbs", count)`,
which makes it independent of how a batch is split.
"""


def build_verb_loss(cfg: CfgNode) -> nn.Module:
    """The loss that `cfg.MODEL.RMLR.LOSS.NAME` names.

    Raises:
        KeyError: no loss of that name is registered.
    """
    return VERB_LOSS_REGISTRY.get(cfg.MODEL.RMLR.LOSS.NAME)(cfg)
