"""RmLR: a frozen DETR, the Interactive Relation Encoder, masked RoI, interaction reasoning.

Re-mine, Learn and Reason: Exploring the Cross-modal Semantic Correlations for Language-guided HOI
detection, Cao et al., ICCV 2023 (arXiv 2307.13529). Alignment with a frozen language model acts in
training only: inference loads nothing of it.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, ROI_HEADS_REGISTRY
from torch import Tensor, nn

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.entity_detector.build import build_entity_detector, detector_models
from hoi_d2.modeling.entity_detector.interface import EntityDetector
from hoi_d2.modeling.language.cross_modal_alignment import (
    CrossModalAlignment,
    alignment_models,
    build_alignment,
)
from hoi_d2.modeling.layers.onednn import use_onednn
from hoi_d2.modeling.losses import build_verb_loss
from hoi_d2.modeling.roi_heads.interaction_heads import InteractionHeads, PairVectors
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs, PairGenerator
from hoi_d2.modeling.roi_heads.pair_matching import PairMatches, ReachedPairs
from hoi_d2.modeling.roi_heads.pair_targets import PairTargets
from hoi_d2.modeling.roi_heads.postprocessing import hoi_postprocess, original_sizes
from hoi_d2.structures import ImageResults, Losses


@META_ARCH_REGISTRY.register()
class RmLR(nn.Module):
    """Images -> frozen entities -> pairs -> verb logits -> loss, or interactions.

    Args:
        entity_detector: frozen; no byte of it changes in training.
        pair_generator: which entities are kept and paired.
        interaction_heads: IRE, masked RoI, cross-modal self-attention and IRM.
        alignment: teaches the pairs' vectors what their sentences say; None = no language.
        pair_targets: the annotated pairs that the candidates stand for.
        vocabulary: objects, verbs and which of them go together.
        verb_loss: one of VERB_LOSS_REGISTRY; of logits, priors and verbs of the pairs.
        prior_exponents: of the product of the two detection scores, in training and in testing.
        score_threshold, max_detections: of the interactions that are given out; 0 = all.
        one_object: see `hoi_postprocess`.
    """

    finds_interactions = True
    frozen_prefixes = ("entity_detector",)
    training_only = ("alignment.",)
    valid_verbs: Tensor
    hoi_of: Tensor

    @configurable
    def __init__(
        self,
        *,
        entity_detector: EntityDetector,
        pair_generator: PairGenerator,
        interaction_heads: InteractionHeads,
        pair_targets: PairTargets,
        vocabulary: Vocabulary,
        verb_loss: nn.Module,
        alignment: CrossModalAlignment | None = None,
        prior_exponents: tuple[float, float] = (1.0, 2.8),
        score_threshold: float = 0.0,
        max_detections: int = 0,
        one_object: bool = False,
    ) -> None:
        super().__init__()
        self.entity_detector = entity_detector.requires_grad_(False).eval()
        self.pair_generator = pair_generator
        self.interaction_heads, self.targets = interaction_heads, pair_targets
        self.verb_loss = verb_loss
        self.alignment = alignment
        self.vocabulary = vocabulary
        self.prior_exponents = prior_exponents
        self.score_threshold, self.max_detections = score_threshold, max_detections
        self.one_object = one_object
        valid, hoi_of = vocabulary.valid_verbs, vocabulary.hoi_of
        self.register_buffer("valid_verbs", torch.from_numpy(valid).float(), persistent=False)
        self.register_buffer("hoi_of", torch.from_numpy(hoi_of), persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        vocabulary = vocabulary_of(cfg)
        detector = build_entity_detector(cfg)
        heads = ROI_HEADS_REGISTRY.get(cfg.MODEL.RMLR.HEADS)(
            cfg,
            detector.output_shape(),
            token_dim=detector.token_dim,
            num_verbs=len(vocabulary.verbs),
        )
        if cfg.MODEL.RMLR.IRE.START_FROM_DETECTOR and heads.relation_encoder is not None:
            heads.relation_encoder.start_from(*detector.encoder())
        use_onednn(heads, enabled=cfg.MODEL.ONEDNN_LINEAR)
        loss = cfg.MODEL.RMLR.LOSS
        return {
            "entity_detector": detector,
            "pair_generator": PairGenerator(cfg, person=vocabulary.person),
            "interaction_heads": heads,
            "pair_targets": PairTargets(cfg, vocabulary=vocabulary),
            "vocabulary": vocabulary,
            "verb_loss": build_verb_loss(cfg),
            "alignment": build_alignment(
                cfg, vocabulary, projected_dim=getattr(heads, "reasoned_dim", 0)
            ),
            "prior_exponents": (loss.PRIOR_EXPONENT_TRAIN, loss.PRIOR_EXPONENT_TEST),
            "score_threshold": cfg.MODEL.HOI.SCORE_THRESHOLD,
            "max_detections": cfg.MODEL.HOI.MAX_DETECTIONS,
            "one_object": cfg.MODEL.HOI.ONE_OBJECT,
        }

    @classmethod
    def hub_models(cls, cfg: CfgNode, *, training: bool) -> list[HubModel]:
        """Of the detector; in training also of the alignment's sentences."""
        models = detector_models(cfg)
        return models + alignment_models(cfg, vocabulary_of(cfg)) if training else models

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Losses | list[ImageResults]:
        """Finds entities and interactions, or computes the losses in training.

        Args:
            batched_inputs: detectron2's; `image` (3, H, W) RGB, and in training `instances`
                (`gt_boxes`, `gt_classes`) and `hoi_instances` (`gt_pairs`, `gt_verbs`).

        Returns:
            Training: {"loss_verb": scalar}, and "loss_align_{sentence,word}_{irm,ire}" where they
            have a weight. Else one {"instances", "hoi_instances"} an image, in its original size;
            they are on the CPU.
        """
        with torch.no_grad():
            entities = self.entity_detector(batched_inputs)
        pairs = self.pair_generator(self.targets.candidates(entities.instances, batched_inputs))
        vectors = self.interaction_heads(entities, pairs)
        if not self.training:
            return self.interactions(vectors.verb_logits, pairs, batched_inputs)
        matches = self.targets.match(pairs, batched_inputs)
        verbs = self.targets.verbs(matches, pairs, batched_inputs)
        priors = self.pair_priors(pairs, self.prior_exponents[0])
        losses = {"loss_verb": self.verb_loss(vectors.verb_logits, priors, verbs)}
        return losses | self.alignment_losses(vectors, matches)

    def alignment_losses(self, vectors: PairVectors, matches: PairMatches) -> Losses:
        """L^m and L^a of the vectors that the heads give for them; {} without language."""
        if self.alignment is None:
            return {}
        return self.alignment({"irm": vectors.overall, "ire": vectors.union}, matches)

    def interactions(
        self, verb_logits: Tensor, pairs: CandidatePairs, batched_inputs: list[dict[str, Any]]
    ) -> list[ImageResults]:
        """(M, K) logits as scores sigmoid(logit) * prior, in instances of the original sizes."""
        priors = self.pair_priors(pairs, self.prior_exponents[1])
        return hoi_postprocess(
            pairs,
            verb_logits.float().sigmoid() * priors,
            original_sizes(batched_inputs, pairs),
            hoi_of=self.hoi_of,
            score_threshold=self.score_threshold,
            max_detections=self.max_detections,
            one_object=self.one_object,
        )

    def pair_priors(self, pairs: CandidatePairs, exponent: float) -> Tensor:
        """(M, K): (s_h s_o)^exponent where the verb is possible for the object, else 0.

        In training it is 0 as well where the training set does not teach the verb.
        """
        scores = pairs.pair_scores.float() ** exponent
        if self.training:
            return self.targets.priors(scores, pairs.object_classes)
        return scores[:, None] * self.valid_verbs[pairs.object_classes]

    @property
    def reached_pairs(self) -> ReachedPairs:
        """How many annotated pairs of the training batches had a candidate."""
        return self.targets.reached_pairs

    def train(self, mode: bool = True) -> RmLR:
        """The detector stays in evaluation mode: no dropout, no statistics move."""
        super().train(mode)
        self.entity_detector.eval()
        return self

    def prepare_training(self) -> None:
        """Loads the text vectors of the alignment."""
        if self.alignment:
            self.alignment.knowledge.load()

    def random_weights(self) -> list[str]:
        """Parts that hold random weights until a checkpoint is loaded."""
        return ["interaction_heads"] + ["entity_detector"] * self.entity_detector.is_random
