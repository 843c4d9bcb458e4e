"""RmLR's head: vectors of each pair, cross-modal learning, and the reasoning module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY
from torch import Tensor, nn

from hoi_d2.config.load import ConfigError
from hoi_d2.modeling.entity_detector.interface import Entities
from hoi_d2.modeling.roi_heads.box_pair_encoding import BoxPairEncoding
from hoi_d2.modeling.roi_heads.interaction_reasoning import InteractionReasoningModule
from hoi_d2.modeling.roi_heads.masked_roi import MaskedRoI, masked_mean
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs
from hoi_d2.modeling.roi_heads.pair_set_encoder import PairSetEncoder
from hoi_d2.modeling.roi_heads.relation_encoder import InteractiveRelationEncoder

IRM_VECTORS = ("input", "output")
"""Of MODEL.RMLR.CML.IRM_VECTORS."""


@dataclass(frozen=True)
class PairVectors:
    """The outputs of the head for M pairs.

    Attributes:
        verb_logits: (M, K) logits of the verbs.
        overall: (M, D) vectors for the loss L^m: [g, s, m] after cross-modal self-attention, or
            what the IRM computed (MODEL.RMLR.CML.IRM_VECTORS); None without it.
        union: (M, D) vectors m after their own self-attention, for the loss L^a; None without it,
            and at inference.
    """

    verb_logits: Tensor
    overall: Tensor | None = None
    union: Tensor | None = None


@ROI_HEADS_REGISTRY.register()
class InteractionHeads(nn.Module):
    """RmLR's interaction head (Algorithm 1, steps 1(5)-(9), 2(4) and 3): pairs to verb logits.

    Each pair has a global vector g, a token vector s and a union vector m.

    Args:
        in_channels: the channels of the backbone map.
        token_dim: the width of the detector's tokens.
        feature_dim: the width of g, of m, and of each of the two tokens in s.
        relation_encoder: the IRE.
        relation_dim: the channels of the IRE's map.
        masked_roi: the pooling of the IRE's map; None = no union vector.
        reasoning: the IRM.
        box_pair_encoding: adds box features to s; None = only tokens, as in the paper.
        overall_attention: the self-attention of cross-modal learning over [g, s, m]; None = none.
        union_attention: the same over m, in training only.
        reason_over_both: whether the IRM gets the attended vectors in addition to [g, s, m].
        aligns_output: whether L^m is about what the IRM computes, and teaches it, in place of the
            attended vectors.
    """

    @configurable
    def __init__(
        self,
        *,
        in_channels: int,
        token_dim: int,
        feature_dim: int,
        relation_encoder: InteractiveRelationEncoder,
        relation_dim: int,
        masked_roi: MaskedRoI | None,
        reasoning: InteractionReasoningModule,
        box_pair_encoding: BoxPairEncoding | None = None,
        overall_attention: PairSetEncoder | None = None,
        union_attention: PairSetEncoder | None = None,
        reason_over_both: bool = False,
        aligns_output: bool = False,
    ) -> None:
        super().__init__()
        if union_attention is not None and masked_roi is None:
            raise ValueError(
                "MODEL.RMLR.CML aligns union vectors, but there are none with "
                "MODEL.RMLR.MASKED_ROI.MASK 'none'; set SENTENCE_IRE_WEIGHT and "
                "WORD_IRE_WEIGHT to 0"
            )
        self.relation_encoder = relation_encoder if masked_roi is not None else None
        self.masked_roi = masked_roi
        self.box_pair_encoding = box_pair_encoding
        self.reasoning = reasoning
        self.overall_attention, self.union_attention = overall_attention, union_attention
        self.reason_over_both = reason_over_both and overall_attention is not None
        self.aligns_output = aligns_output
        self.to_global = nn.Sequential(nn.Linear(in_channels, feature_dim), nn.ReLU())
        self.to_human = nn.Sequential(nn.Linear(token_dim, feature_dim), nn.ReLU())
        self.to_object = nn.Sequential(nn.Linear(token_dim, feature_dim), nn.ReLU())
        if masked_roi is not None:
            self.to_union = nn.Sequential(nn.Linear(relation_dim, feature_dim), nn.ReLU())

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: ShapeSpec, *, token_dim: int, num_verbs: int
    ) -> dict[str, Any]:
        node = cfg.MODEL.RMLR
        dim, ire, irm, cml = node.FEATURE_DIM, node.IRE, node.IRM, node.CML
        has_union = node.MASKED_ROI.MASK != "none"
        pair_dim = (4 if has_union else 3) * dim
        aligns_union = cml.ENABLED and (cml.SENTENCE_IRE_WEIGHT or cml.WORD_IRE_WEIGHT)
        attended_dim = cml.HIDDEN_DIM if cml.ENABLED and cml.FEEDS_IRM else 0
        return {
            "in_channels": input_shape.channels,
            "token_dim": token_dim,
            "feature_dim": dim,
            "relation_dim": ire.HIDDEN_DIM,
            "relation_encoder": InteractiveRelationEncoder(
                in_channels=input_shape.channels,
                **_layers(ire, ire.NUM_LAYERS if ire.ENABLED else 0),
            ),
            "masked_roi": MaskedRoI(
                mask=node.MASKED_ROI.MASK,
                resolution=node.MASKED_ROI.POOLER_RESOLUTION,
                sampling_ratio=node.MASKED_ROI.SAMPLING_RATIO,
                stride=input_shape.stride,
            )
            if has_union
            else None,
            "box_pair_encoding": BoxPairEncoding(token_dim=2 * dim)
            if node.BOX_PAIR_ENCODING
            else None,
            **overall_parts(cml, pair_dim=pair_dim),
            "union_attention": PairSetEncoder(in_dim=dim, **_layers(cml, cml.SA_LAYERS))
            if aligns_union
            else None,
            "reasoning": InteractionReasoningModule(
                in_dim=pair_dim + attended_dim,
                num_verbs=num_verbs,
                **_layers(irm, irm.NUM_LAYERS),
            ),
        }

    def forward(self, entities: Entities, pairs: CandidatePairs) -> PairVectors:
        """Computes the vectors and logits of all pairs, without annotations.

        Args:
            entities: the entities of the batch, with the detector's input images.
            pairs: the candidate pairs of the entities.
        """
        features = [self.global_features(entities)[pairs.image_index], self.token_features(pairs)]
        if self.masked_roi is not None:
            features.append(self.union_features(entities, pairs))
        overall, attended, union = torch.cat(features, dim=1), None, None
        if self.overall_attention is not None and (self.training or self.reason_over_both):
            attended = self.overall_attention(overall, pairs.counts)
        if self.union_attention is not None and self.training:
            union = self.union_attention(features[-1], pairs.counts)
        seen = overall
        if self.reason_over_both and attended is not None:
            seen = torch.cat([overall, attended], dim=1)
        reasoned = self.reasoning.encoded(seen, pairs.counts)
        if self.aligns_output:
            attended = reasoned if self.training else None
        return PairVectors(self.reasoning.predictor(reasoned), attended, union)

    @property
    def reasoned_dim(self) -> int:
        """Width of `PairVectors.overall` where it is what the IRM computes, else 0."""
        return self.reasoning.hidden_dim if self.aligns_output else 0

    def global_features(self, entities: Entities) -> Tensor:
        """g: (B, feature_dim), mean of the backbone map inside the images."""
        return self.to_global(masked_mean(*entities.map_and_mask()))

    def token_features(self, pairs: CandidatePairs) -> Tensor:
        """s: (M, 2 * feature_dim), human then object."""
        human, object_ = self.to_human(pairs.human_tokens), self.to_object(pairs.object_tokens)
        tokens = torch.cat([human, object_], dim=1)
        if self.box_pair_encoding is None:
            return tokens
        # A tensor in an exported graph, where it is an input.
        sizes = [torch.as_tensor(instances.image_size) for instances in pairs.instances]
        size_of = torch.stack(sizes).to(tokens.device)[pairs.image_index]
        return self.box_pair_encoding(tokens, pairs.human_boxes, pairs.object_boxes, size_of)

    def union_features(self, entities: Entities, pairs: CandidatePairs) -> Tensor:
        """m: (M, feature_dim), masked RoI on the IRE's map."""
        assert self.relation_encoder is not None and self.masked_roi is not None
        feature_map, mask = entities.map_and_mask()
        pooled = self.masked_roi(
            self.relation_encoder(feature_map, mask),
            mask,
            pairs.image_index,
            pairs.human_boxes,
            pairs.object_boxes,
        )
        return self.to_union(pooled)


def overall_parts(cml: CfgNode, *, pair_dim: int) -> dict[str, Any]:
    """The parts of a head that make the vectors of L^m, and what the IRM reads of them.

    Args:
        cml: MODEL.RMLR.CML.
        pair_dim: of a pair before the IRM.

    Raises:
        ConfigError: IRM_VECTORS is neither of its values.
    """
    if cml.IRM_VECTORS not in IRM_VECTORS:
        raise ConfigError(
            f"MODEL.RMLR.CML.IRM_VECTORS must be one of {IRM_VECTORS}, got {cml.IRM_VECTORS!r}"
        )
    aligns = cml.ENABLED and bool(cml.SENTENCE_IRM_WEIGHT or cml.WORD_IRM_WEIGHT)
    of_output = aligns and cml.IRM_VECTORS == "output"
    feeds = cml.ENABLED and cml.FEEDS_IRM
    return {
        "overall_attention": PairSetEncoder(in_dim=pair_dim, **_layers(cml, cml.SA_LAYERS))
        if feeds or (aligns and not of_output)
        else None,
        "aligns_output": of_output,
        "reason_over_both": feeds,
    }


def _layers(node: CfgNode, num_layers: int) -> dict[str, Any]:
    """Arguments of an encoder from its part of the config."""
    return {
        "hidden_dim": node.HIDDEN_DIM,
        "num_layers": num_layers,
        "num_heads": node.NUM_HEADS,
        "ffn_dim": node.FFN_DIM,
        "dropout": node.DROPOUT,
    }
