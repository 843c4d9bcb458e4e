"""The losses of image-level HOI recognition: one registry, one interface.

Table 7 of DEFR (Jin et al., arXiv 2203.05676) compares them. Each takes (B, C) logits and the
four-valued labels of HICO and gives a scalar in float32, a mean over the images: equal parts of a
batch can be averaged, and no count has to be agreed on between processes.
"""

from __future__ import annotations

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.utils.registry import Registry
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from hoi_d2.data.samplers import LabelCounts
from hoi_d2.modeling.losses.lse_sign import lse_sign_loss

# HICO's labels (hoi_d2.data.datasets.hico); -1 (the object is there, the interaction is not) and
# -2 (not annotated) are negatives for every loss.
_POSITIVE, _AMBIGUOUS = 1, 0
AMBIGUOUS_CHOICES = ("negative", "left_out")

CLASSIFICATION_LOSS_REGISTRY = Registry("CLASSIFICATION_LOSS")
CLASSIFICATION_LOSS_REGISTRY.__doc__ = """
Losses of image-level recognition: `loss(logits (B, C), image_labels (B, C) int8) -> scalar`.
"""


def build_classification_loss(
    cfg: CfgNode, *, label_counts: LabelCounts | None = None
) -> ClassificationLoss:
    """Builds the loss of `cfg.MODEL.DEFR.LOSS.NAME`.

    Args:
        cfg: the whole config.
        label_counts: of the training data, for the losses that weigh classes by them.
    """
    loss = CLASSIFICATION_LOSS_REGISTRY.get(cfg.MODEL.DEFR.LOSS.NAME)
    return loss(cfg, label_counts=label_counts)


class ClassificationLoss(nn.Module):
    """Base of the losses: decides which labels are positive and which do not count.

    Args:
        ambiguous: "negative" (the release), or "left_out": no term for them.

    Raises:
        ValueError: another word.
    """

    needs_label_counts = False

    @configurable
    def __init__(self, *, ambiguous: str = "negative") -> None:
        super().__init__()
        if ambiguous not in AMBIGUOUS_CHOICES:
            raise ValueError(
                f"MODEL.DEFR.LOSS.AMBIGUOUS: expected one of {AMBIGUOUS_CHOICES}, got {ambiguous!r}"
            )
        self.ambiguous = ambiguous

    @classmethod
    def from_config(cls, cfg: CfgNode, *, label_counts: LabelCounts | None = None) -> dict:
        return {"ambiguous": cfg.MODEL.DEFR.LOSS.AMBIGUOUS}

    def forward(self, logits: Tensor, image_labels: Tensor) -> Tensor:
        """Computes the loss of a batch.

        Args:
            logits: (B, C), of any precision.
            image_labels: (B, C) int8: 1 positive, 0 ambiguous, -1 negative, -2 unknown.

        Returns:
            A scalar in float32; 0 for an empty batch.

        Raises:
            ValueError: the shapes differ.
        """
        if logits.shape != image_labels.shape:
            raise ValueError(
                f"logits are {tuple(logits.shape)}, labels {tuple(image_labels.shape)} "
                "(images, classes)"
            )
        if not logits.numel():
            return logits.float().sum()
        positive = image_labels == _POSITIVE
        left_out = image_labels == _AMBIGUOUS if self.ambiguous == "left_out" else None
        with torch.autocast(logits.device.type, enabled=False):
            return self.mean_loss(logits, positive, left_out)

    def mean_loss(self, logits: Tensor, positive: Tensor, left_out: Tensor | None) -> Tensor:
        """The scalar, of (B, C) logits, positives and classes without a term."""
        raise NotImplementedError


@CLASSIFICATION_LOSS_REGISTRY.register()
class LSESign(ClassificationLoss):
    """log(1 + sum exp(-y s)), a softmax over the classes in its gradient (DEFR, equation 2)."""

    def mean_loss(self, logits: Tensor, positive: Tensor, left_out: Tensor | None) -> Tensor:
        return lse_sign_loss(logits, positive, left_out).mean()


class _PerClassLoss(ClassificationLoss):
    """Losses that are a mean over images and classes; a class that is left out adds 0."""

    def mean_loss(self, logits: Tensor, positive: Tensor, left_out: Tensor | None) -> Tensor:
        terms = self.terms(logits.float(), positive.float())
        if left_out is not None:
            terms = terms.masked_fill(left_out, 0.0)
        return terms.mean()

    def terms(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(B, C), of targets in {0, 1}."""
        raise NotImplementedError


@CLASSIFICATION_LOSS_REGISTRY.register()
class BCE(_PerClassLoss):
    """Binary cross entropy of each class on its own."""

    def terms(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


@CLASSIFICATION_LOSS_REGISTRY.register()
class WeightedBCE(_PerClassLoss):
    """BCE whose positives weigh as much as the negatives of their class.

    Args:
        positive_weight: (C,) negatives over positives in the training images; None where the model
            is built without training data, and then it cannot be trained.
        ambiguous: see `ClassificationLoss`.
    """

    needs_label_counts = True
    positive_weight: Tensor | None

    @configurable
    def __init__(self, *, positive_weight: Tensor | None, ambiguous: str = "negative") -> None:
        super().__init__(ambiguous=ambiguous)
        self.register_buffer("positive_weight", positive_weight, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode, *, label_counts: LabelCounts | None = None) -> dict:
        result = super().from_config(cfg)
        if label_counts is None:
            return result | {"positive_weight": None}
        positives, ambiguous, images = label_counts
        counted = images - (ambiguous if result["ambiguous"] == "left_out" else 0)
        # A class without a positive image never uses its weight.
        weight = (counted - positives) / np.maximum(positives, 1)
        return result | {"positive_weight": torch.as_tensor(weight, dtype=torch.float32)}

    def terms(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.positive_weight is None:
            raise RuntimeError(
                "WeightedBCE needs the labels of DATASETS.TRAIN, which were not on disk when the "
                "model was built (see the warning there)"
            )
        return F.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=self.positive_weight, reduction="none"
        )


@CLASSIFICATION_LOSS_REGISTRY.register()
class Focal(_PerClassLoss):
    """Focal loss (Lin et al., ICCV 2017): BCE times alpha_t (1 - p_t)^gamma.

    Args:
        alpha: weight of a positive; 1 - alpha of a negative.
        gamma: focusing exponent.
        ambiguous: see `ClassificationLoss`.
    """

    @configurable
    def __init__(
        self, *, alpha: float = 0.25, gamma: float = 2.0, ambiguous: str = "negative"
    ) -> None:
        super().__init__(ambiguous=ambiguous)
        self.alpha, self.gamma = alpha, gamma

    @classmethod
    def from_config(cls, cfg: CfgNode, *, label_counts: LabelCounts | None = None) -> dict:
        node = cfg.MODEL.DEFR.LOSS
        focal = {"alpha": node.FOCAL_ALPHA, "gamma": node.FOCAL_GAMMA}
        return super().from_config(cfg) | focal

    def terms(self, logits: Tensor, targets: Tensor) -> Tensor:
        return sigmoid_focal_loss(logits, targets, alpha=self.alpha, gamma=self.gamma)
