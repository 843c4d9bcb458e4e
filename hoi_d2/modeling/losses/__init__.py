"""Losses of pairs (`verb_focal`, `verb_lse_sign`) and of images (`classification`, `lse_sign`)."""

from hoi_d2.modeling.losses.build import VERB_LOSS_REGISTRY, build_verb_loss
from hoi_d2.modeling.losses.verb_focal import VerbFocalLoss
from hoi_d2.modeling.losses.verb_lse_sign import VerbLSESign

__all__ = ["VERB_LOSS_REGISTRY", "VerbFocalLoss", "VerbLSESign", "build_verb_loss"]
