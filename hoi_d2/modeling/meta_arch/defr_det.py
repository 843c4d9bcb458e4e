"""DEFR-Det: boxes of any detector become an attention mask of DEFR's last block; no training.

The Overlooked Classifier in Human-Object Interaction Recognition, Jin et al. (arXiv 2203.05676),
section 3.3.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.entity_detector.build import build_entity_detector, detector_models
from hoi_d2.modeling.entity_detector.interface import EntityDetector
from hoi_d2.modeling.image_encoder import ImageEncoder, build_image_encoder, encoder_models
from hoi_d2.modeling.image_encoder.defr_weights import released_weights
from hoi_d2.modeling.image_encoder.patch_masks import MASKS, hidden_bias, pair_patches
from hoi_d2.modeling.language.classifier import (
    CosineClassifier,
    LinearClassifier,
    build_hoi_classifier,
    classifier_models,
)
from hoi_d2.modeling.language.prompts import sentence_table, together_rows
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs, PairGenerator
from hoi_d2.modeling.roi_heads.postprocessing import hoi_postprocess, original_sizes
from hoi_d2.structures import ImageResults, Losses

SCORES = ("sigmoid", "softmax")


class DEFRDet(nn.Module):
    """Entities -> pairs -> patch masks -> one CLS row a pair -> the image classifier's logits.

    `image_encoder` and `classifier` have the names that they have in DEFR, whose checkpoint this
    model takes as it is.

    Args:
        entity_detector: any; its tokens and maps are not needed.
        pair_generator: which entities are kept and paired.
        image_encoder: of DEFR.
        classifier: of DEFR, (N, D) -> (N, C) scaled logits.
        vocabulary: what the C outputs are, and which verbs an object can take.
        mask: what the query sees of a pair, see `pair_patches`.
        masked_blocks: how many blocks at the end are masked.
        score: "sigmoid" of the logit, or "softmax" over the classes of the pair's object, for a
            classifier that was not trained: the sigmoid of CLIP's cosines at scale 100 is 1.
        temperature: logits are divided by it.
        powers: of the human's and of the object's detection score.
        resize: how images are squashed to the encoder's square, "bilinear" or "bicubic".
        antialias: whether that resizing filters before it makes images smaller.
        score_threshold, max_detections: of the interactions that are given out; 0 = all.
    """

    finds_interactions = takes_own_classes = needs_no_training = True
    frozen_prefixes: tuple[str, ...] = ("entity_detector",)

    class_of: Tensor
    together: Tensor
    valid_verbs: Tensor
    hoi_of: Tensor

    @configurable
    def __init__(
        self,
        *,
        entity_detector: EntityDetector,
        pair_generator: PairGenerator,
        image_encoder: ImageEncoder,
        classifier: CosineClassifier | LinearClassifier,
        vocabulary: Vocabulary,
        mask: str = "human_or_object",
        masked_blocks: int = 1,
        score: str = "sigmoid",
        temperature: float = 1.0,
        powers: tuple[float, float] = (2.8, 2.8),
        resize: str = "bilinear",
        antialias: bool = True,
        score_threshold: float = 0.0,
        max_detections: int = 0,
    ) -> None:
        super().__init__()
        _check("MASK", mask, MASKS)
        _check("SCORE", score, SCORES)
        _check("RESIZE", resize, ("bilinear", "bicubic"))
        self.entity_detector = entity_detector
        self.pair_generator = pair_generator
        self.image_encoder = image_encoder
        self.classifier = classifier
        self.vocabulary = vocabulary
        self.mask, self.masked_blocks = mask, masked_blocks
        self.score, self.temperature = score, temperature
        self.powers, self.resize, self.antialias = powers, resize, antialias
        self.score_threshold, self.max_detections = score_threshold, max_detections
        tables = {
            "class_of": sentence_table(vocabulary),  # (num_objects, K): output, -1 = none
            "together": together_rows(vocabulary)[:, None],  # (num_objects, 1)
            "valid_verbs": vocabulary.valid_verbs,
            "hoi_of": vocabulary.hoi_of,
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.from_numpy(table), persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        vocabulary, node = vocabulary_of(cfg), cfg.MODEL.DEFR_DET
        detector = build_entity_detector(cfg)
        encoder = build_image_encoder(cfg, frozen="image_encoder" in cls.frozen_prefixes)
        return {
            "entity_detector": detector,
            "pair_generator": PairGenerator(cfg, person=vocabulary.person, pairs=node.PAIRS),
            "image_encoder": encoder,
            "classifier": build_hoi_classifier(
                cfg, width=encoder.width, visual_projection=encoder.visual_projection
            ),
            "vocabulary": vocabulary,
            "mask": node.MASK,
            "masked_blocks": node.MASKED_BLOCKS,
            "score": node.SCORE,
            "temperature": node.TEMPERATURE,
            "powers": (node.POWER_HUMAN, node.POWER_OBJECT),
            "resize": node.RESIZE,
            "antialias": node.ANTIALIAS,
            "score_threshold": cfg.MODEL.HOI.SCORE_THRESHOLD,
            "max_detections": cfg.MODEL.HOI.MAX_DETECTIONS,
        }

    @classmethod
    def hub_models(cls, cfg: CfgNode, *, training: bool) -> list[HubModel]:
        """Of the detector, the image encoder and the classifier's sentences."""
        return detector_models(cfg) + encoder_models(cfg) + classifier_models(cfg)

    @torch.no_grad()
    def forward(self, batched_inputs: list[dict[str, Any]]) -> Losses | list[ImageResults]:
        """Finds entities and interactions.

        Args:
            batched_inputs: detectron2's; `image` (3, H, W) RGB on 0..255.

        Returns:
            One {"instances", "hoi_instances"} an image, in its original size.

        Raises:
            RuntimeError: in training mode; train a DEFR and load its checkpoint.
        """
        if self.training:
            raise RuntimeError(
                "DEFR-Det is not trained: train MODEL.META_ARCHITECTURE DEFR on image labels, and "
                "name its checkpoint in MODEL.WEIGHTS"
            )
        entities = self.entity_detector(batched_inputs)
        pairs = self.pair_generator(entities.instances)
        logits = self.class_logits(self.masked_cls(pairs, batched_inputs))
        scores = self.class_scores(logits, pairs) * self.pair_priors(pairs)
        return self.interactions(scores, pairs, batched_inputs)

    def masked_cls(self, pairs: CandidatePairs, batched_inputs: list[dict[str, Any]]) -> Tensor:
        """(M, D): the tower's vector of each pair, whose query saw the patches of the pair alone.

        All but the last blocks are computed once an image.
        """
        with self.image_encoder.arithmetic():
            tokens = self.image_encoder.tokens_before_last(
                self.squares(batched_inputs), masked_blocks=self.masked_blocks
            )
            features = self.image_encoder.attend(
                tokens,
                self.patches(pairs),
                pairs.image_index,
                masked_blocks=self.masked_blocks,
                hidden_bias=hidden_bias(self.mask),
            )
        return features.float()

    def class_logits(self, features: Tensor) -> Tensor:
        """(M, D) vectors of pairs -> (M, C) logits of all classes."""
        return self.classifier(features)

    def squares(self, batched_inputs: list[dict[str, Any]]) -> Tensor:
        """(B, 3, R, R): the images squashed and normalised for the image encoder."""
        side = self.image_encoder.image_size
        squares = [
            F.interpolate(
                x["image"].to(self.device).float()[None],
                size=(side, side),
                mode=self.resize,
                align_corners=False,
                antialias=self.antialias,
            )
            for x in batched_inputs
        ]
        # Bytes, as an image file of that size would hold.
        return self.image_encoder.normalize(torch.cat(squares).round().clamp(0, 255))

    def patches(self, pairs: CandidatePairs) -> Tensor:
        """(M, rows * columns) bool: what each pair's query sees."""
        sizes = [(i.image_size[1], i.image_size[0]) * 2 for i in pairs.instances]
        size = pairs.human_boxes.new_tensor(sizes, dtype=torch.float64)[pairs.image_index]
        return pair_patches(
            pairs.human_boxes / size,
            pairs.object_boxes / size,
            self.image_encoder.grid,
            mask=self.mask,
        )

    def class_scores(self, logits: Tensor, pairs: CandidatePairs) -> Tensor:
        """(M, C) logits of all classes -> (M, K) scores of the verbs with the pair's object."""
        verb_logits = self.verb_logits(logits, pairs)
        if self.score == "sigmoid":
            return verb_logits.sigmoid()
        # "A person and a horse", which own classes have next to them, takes its share and is gone.
        together = _pick(logits.float(), self.together[pairs.object_classes]) / self.temperature
        chances = torch.cat([verb_logits, together], dim=1).softmax(dim=1)
        return chances[:, :-1].nan_to_num(0.0)  # NaN: an object without any class

    def verb_logits(self, logits: Tensor, pairs: CandidatePairs) -> Tensor:
        """(M, C) logits of all classes -> (M, K) of the verbs with the pair's object; -inf = no."""
        return _pick(logits.float(), self.class_of[pairs.object_classes]) / self.temperature

    def pair_priors(self, pairs: CandidatePairs) -> Tensor:
        """(M, K): s_h^a s_o^b where the verb is possible for the object, else 0."""
        human, object_ = pairs.human_scores.float(), pairs.object_scores.float()
        scores = human ** self.powers[0] * object_ ** self.powers[1]
        return scores[:, None] * self.valid_verbs[pairs.object_classes]

    def interactions(
        self, scores: Tensor, pairs: CandidatePairs, batched_inputs: list[dict[str, Any]]
    ) -> list[ImageResults]:
        """(M, K) scores as instances in the original sizes."""
        return hoi_postprocess(
            pairs,
            scores,
            original_sizes(batched_inputs, pairs),
            hoi_of=self.hoi_of,
            score_threshold=self.score_threshold,
            max_detections=self.max_detections,
        )

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.class_of.device

    def convert_weights(self, file: Any, *, classes: str = "") -> dict[str, Tensor]:
        """The weights of a `WeightFile`, also of DEFR's published checkpoints."""
        return released_weights(self, file)

    def random_weights(self) -> list[str]:
        """Parts that hold random weights until a checkpoint is loaded."""
        parts = {
            "image_encoder": self.image_encoder.is_random,
            "classifier": self.classifier.is_random,
            "entity_detector": self.entity_detector.is_random,
        }
        return [name for name, is_random in parts.items() if is_random]


def _pick(logits: Tensor, classes: Tensor) -> Tensor:
    """(M, C) logits at (M, K) classes; -inf where a class is -1."""
    picked = logits.gather(1, classes.clamp(min=0))
    return picked.masked_fill(classes < 0, -torch.inf)


# Configs and checkpoints name it as the paper does; a class statement cannot have that hyphen.
META_ARCH_REGISTRY.register(type("DEFR-Det", (DEFRDet,), {}))


def _check(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"MODEL.DEFR_DET.{key} must be one of {', '.join(known)}, got {value!r}")
