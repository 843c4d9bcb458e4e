"""CLIP-Pairs: DEFR-Det with a small head that is trained on annotated pairs.

The frozen tower of CLIP (or of any DEFR) reads each human-object pair through the masked attention
of DEFR-Det (Jin et al., arXiv 2203.05676, section 3.3). An adapter and the rows of the classifier,
which begin as sentences, learn from pairs as the head of a two-stage detector does.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn

from hoi_d2.config.load import ConfigError
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.entity_detector.build import detector_models
from hoi_d2.modeling.image_encoder import encoder_models
from hoi_d2.modeling.language.classifier import classifier_models
from hoi_d2.modeling.losses import build_verb_loss
from hoi_d2.modeling.meta_arch.defr_det import DEFRDet
from hoi_d2.modeling.roi_heads.feature_adapter import FeatureAdapter
from hoi_d2.modeling.roi_heads.pair_matching import ReachedPairs
from hoi_d2.modeling.roi_heads.pair_targets import PairTargets
from hoi_d2.structures import ImageResults, Losses


@META_ARCH_REGISTRY.register()
class CLIPPairs(DEFRDet):
    """Entities -> pairs -> one frozen CLS row a pair -> adapter -> classifier -> loss or results.

    Untrained it scores as `DEFRDet`. It takes a DEFR's checkpoint as it is, for the rows; the
    tower has a file of its own (`MODEL.IMAGE_ENCODER`), so that checkpoints hold only what is
    trained.

    Args:
        adapter: (M, D) -> (M, D).
        pair_targets: the annotated pairs that the candidates stand for.
        verb_loss: one of VERB_LOSS_REGISTRY; of logits, priors and verbs of the pairs.
        prior_exponent: of the product of the two detection scores, in the loss.
        train_rows: False = the rows stay as they are, and the adapter alone is trained.
        **defr_det: of `DEFRDet`.
    """

    needs_no_training = takes_own_classes = False
    frozen_prefixes = ("entity_detector", "image_encoder")

    @configurable
    def __init__(
        self,
        *,
        adapter: nn.Module,
        pair_targets: PairTargets,
        verb_loss: nn.Module,
        prior_exponent: float = 1.0,
        train_rows: bool = True,
        **defr_det: Any,
    ) -> None:
        super().__init__(**defr_det)
        self.adapter, self.targets, self.verb_loss = adapter, pair_targets, verb_loss
        self.prior_exponent = prior_exponent
        self.entity_detector.requires_grad_(False)
        self.image_encoder.requires_grad_(False)
        self.classifier.requires_grad_(train_rows)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        node = cfg.MODEL.CLIP_PAIRS
        if cfg.MODEL.DEFR_DET.SCORE != "sigmoid":
            raise ConfigError(
                "MODEL.META_ARCHITECTURE CLIPPairs learns the sigmoid of its logits: set "
                f"MODEL.DEFR_DET.SCORE to sigmoid, got {cfg.MODEL.DEFR_DET.SCORE}"
            )
        if not (node.ADAPTER_DIM or node.TRAIN_ROWS):
            raise ConfigError(
                "nothing is left to train: set MODEL.CLIP_PAIRS.ADAPTER_DIM above 0, or "
                "MODEL.CLIP_PAIRS.TRAIN_ROWS to True"
            )
        arguments = super().from_config(cfg)
        width = arguments["image_encoder"].width
        return arguments | {
            "adapter": FeatureAdapter(
                width=width, hidden_dim=node.ADAPTER_DIM, dropout=node.DROPOUT
            )
            if node.ADAPTER_DIM
            else nn.Identity(),
            "pair_targets": PairTargets(cfg, vocabulary=arguments["vocabulary"]),
            "verb_loss": build_verb_loss(cfg),
            "prior_exponent": cfg.MODEL.RMLR.LOSS.PRIOR_EXPONENT_TRAIN,
            "train_rows": node.TRAIN_ROWS,
        }

    @classmethod
    def hub_models(cls, cfg: CfgNode, *, training: bool) -> list[HubModel]:
        """Of the detector and the image tower; of the sentences, where no checkpoint has rows."""
        return detector_models(cfg) + encoder_models(cfg, frozen=True) + classifier_models(cfg)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Losses | list[ImageResults]:
        """Finds entities and interactions, or computes the loss in training.

        Args:
            batched_inputs: detectron2's; `image` (3, H, W) RGB on 0..255, and in training
                `instances` (`gt_boxes`, `gt_classes`) and `hoi_instances` (`gt_pairs`, `gt_verbs`).

        Returns:
            Training: {"loss_verb": scalar}. Else one {"instances", "hoi_instances"} an image, in
            its original size.
        """
        with torch.no_grad():
            entities = self.entity_detector(batched_inputs)
            found = self.targets.candidates(entities.instances, batched_inputs)
            pairs = self.pair_generator(found)
            features = self.masked_cls(pairs, batched_inputs)
        logits = self.class_logits(features)
        if not self.training:
            scores = self.class_scores(logits, pairs) * self.pair_priors(pairs)
            return self.interactions(scores, pairs, batched_inputs)
        matches = self.targets.match(pairs, batched_inputs)
        verbs = self.targets.verbs(matches, pairs, batched_inputs)
        scores = pairs.pair_scores.float() ** self.prior_exponent
        priors = self.targets.priors(scores, pairs.object_classes)
        return {"loss_verb": self.verb_loss(self.verb_logits(logits, pairs), priors, verbs)}

    def class_logits(self, features: Tensor) -> Tensor:
        return self.classifier(self.adapter(features))

    @property
    def reached_pairs(self) -> ReachedPairs:
        """How many annotated pairs of the training batches had a candidate."""
        return self.targets.reached_pairs

    def train(self, mode: bool = True) -> CLIPPairs:
        """Detector and tower stay in evaluation mode: no dropout, no statistics move."""
        super().train(mode)
        self.entity_detector.eval()
        self.image_encoder.eval()
        return self

    def random_weights(self) -> list[str]:
        """Parts that hold random weights until a checkpoint is loaded."""
        return super().random_weights() + ["adapter"] * bool(list(self.adapter.parameters()))
