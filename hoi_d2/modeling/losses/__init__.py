"""Losses of pairs (`verb_focal`) and of images (`classification`, `lse_sign`)."""

from hoi_d2.modeling.losses.build import VERB_LOSS_REGISTRY, build_verb_loss
from hoi_d2.modeling.losses.verb_focal import VerbFocalLoss

__all__ = ["VERB_LOSS_REGISTRY", "VerbFocalLoss", "build_verb_loss"]
