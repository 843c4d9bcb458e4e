"""DEFR: an image encoder and one linear classifier; no detector, no boxes.

The Overlooked Classifier in Human-Object Interaction Recognition, Jin et al. (arXiv 2203.05676),
figure 2.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.samplers import LabelCounts, training_label_counts
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.image_encoder import ImageEncoder, build_image_encoder, encoder_models
from hoi_d2.modeling.image_encoder.defr_weights import released_weights
from hoi_d2.modeling.language.classifier import (
    CosineClassifier,
    LinearClassifier,
    build_hoi_classifier,
    classifier_models,
)
from hoi_d2.modeling.losses.classification import (
    CLASSIFICATION_LOSS_REGISTRY,
    ClassificationLoss,
    build_classification_loss,
)
from hoi_d2.structures import Losses

logger = logging.getLogger(__name__)


@META_ARCH_REGISTRY.register()
class DEFR(nn.Module):
    """Square images -> one vector each -> scaled logits of all HOI classes.

    Args:
        image_encoder: image -> (D,).
        classifier: (D,) -> (C,), its rows begin as the sentences of the classes.
        loss: of logits and image-level labels.
        vocabulary: what the C outputs are.
    """

    classifies_images = True

    @configurable
    def __init__(
        self,
        *,
        image_encoder: ImageEncoder,
        classifier: CosineClassifier | LinearClassifier,
        loss: ClassificationLoss,
        vocabulary: Vocabulary,
    ) -> None:
        super().__init__()
        self.image_encoder, self.classifier, self.loss = image_encoder, classifier, loss
        self.vocabulary = vocabulary

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        encoder = build_image_encoder(cfg)
        return {
            "image_encoder": encoder,
            "classifier": build_hoi_classifier(
                cfg, width=encoder.width, visual_projection=encoder.visual_projection
            ),
            "loss": build_classification_loss(cfg, label_counts=_counts_if_needed(cfg)),
            "vocabulary": vocabulary_of(cfg),
        }

    @classmethod
    def hub_models(cls, cfg: CfgNode, *, training: bool) -> list[HubModel]:
        """Of the image encoder and of the classifier's sentences."""
        return encoder_models(cfg) + classifier_models(cfg)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Losses | list[dict[str, Tensor]]:
        """Classifies images, or computes the loss in training.

        Args:
            batched_inputs: `image` (3, R, R) RGB on 0..255, and in training `image_labels` (C,)
                int8: 1 positive, 0 ambiguous, -1 negative, -2 unknown.

        Returns:
            Training: {"loss_hoi": scalar}. Else one {"hoi_scores": (C,)} an image: the scaled
            logits, which rank as their sigmoid does. At gamma 100 the sigmoid itself is 1.0 for
            whole lists of classes, and ties have no rank.
        """
        images = torch.stack([x["image"] for x in batched_inputs]).to(self.device)
        features = self.image_encoder(self.image_encoder.normalize(images))
        logits = self.classifier(features)
        if self.training:
            labels = torch.stack([x["image_labels"] for x in batched_inputs])
            return {"loss_hoi": self.loss(logits, labels.to(self.device))}
        return [{"hoi_scores": row} for row in logits]

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.classifier.weight.device

    def convert_weights(self, file: Any, *, classes: str = "") -> dict[str, Tensor]:
        """The weights of a `WeightFile`, also of DEFR's published checkpoints."""
        return released_weights(self, file)

    def random_weights(self) -> list[str]:
        """Parts that hold random weights until a checkpoint is loaded."""
        parts = {"image_encoder": self.image_encoder, "classifier": self.classifier}
        return [name for name, part in parts.items() if part.is_random]


def _counts_if_needed(cfg: CfgNode) -> LabelCounts | None:
    if not CLASSIFICATION_LOSS_REGISTRY.get(cfg.MODEL.DEFR.LOSS.NAME).needs_label_counts:
        return None
    try:
        return training_label_counts(cfg)
    except FileNotFoundError as error:
        logger.warning("%s cannot be trained here: %s", cfg.MODEL.DEFR.LOSS.NAME, error)
        return None
