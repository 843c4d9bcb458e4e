"""RmLR's head: global, token and union vectors of each pair, then the IRM."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY
from torch import Tensor, nn

from hoi_d2.modeling.entity_detector.build import Entities
from hoi_d2.modeling.roi_heads.box_pair_encoding import BoxPairEncoding
from hoi_d2.modeling.roi_heads.interaction_reasoning import InteractionReasoningModule
from hoi_d2.modeling.roi_heads.masked_roi import MaskedRoI, masked_mean
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs
from hoi_d2.modeling.roi_heads.relation_encoder import InteractiveRelationEncoder


@ROI_HEADS_REGISTRY.register()
class InteractionHeads(nn.Module):
    """[g, s, m] of every pair -> verb logits (RmLR, Algorithm 1, steps 1(5)-(9) and 3).

    Args:
        in_channels: of the backbone map.
        token_dim: of the detector's tokens.
        feature_dim: width of g, of m, and of each of the two tokens in s.
        relation_encoder: IRE.
        relation_dim: its channels.
        masked_roi: pools the IRE's map; None = no union vector.
        reasoning: IRM.
        box_pair_encoding: fuses box numbers into s; None = tokens alone, as in the paper.
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
    ) -> None:
        super().__init__()
        self.relation_encoder = relation_encoder if masked_roi is not None else None
        self.masked_roi = masked_roi
        self.box_pair_encoding = box_pair_encoding
        self.reasoning = reasoning
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
        dim, ire, irm, roi = node.FEATURE_DIM, node.IRE, node.IRM, node.MASKED_ROI
        has_union = roi.MASK != "none"
        return {
            "in_channels": input_shape.channels,
            "token_dim": token_dim,
            "feature_dim": dim,
            "relation_dim": ire.HIDDEN_DIM,
            "relation_encoder": InteractiveRelationEncoder(
                in_channels=input_shape.channels,
                hidden_dim=ire.HIDDEN_DIM,
                num_layers=ire.NUM_LAYERS if ire.ENABLED else 0,
                num_heads=ire.NUM_HEADS,
                ffn_dim=ire.FFN_DIM,
                dropout=ire.DROPOUT,
            ),
            "masked_roi": MaskedRoI(
                mask=roi.MASK,
                resolution=roi.POOLER_RESOLUTION,
                sampling_ratio=roi.SAMPLING_RATIO,
                stride=input_shape.stride,
            )
            if has_union
            else None,
            "box_pair_encoding": BoxPairEncoding(token_dim=2 * dim)
            if node.BOX_PAIR_ENCODING
            else None,
            "reasoning": InteractionReasoningModule(
                in_dim=(4 if has_union else 3) * dim,
                hidden_dim=irm.HIDDEN_DIM,
                num_layers=irm.NUM_LAYERS,
                num_heads=irm.NUM_HEADS,
                ffn_dim=irm.FFN_DIM,
                dropout=irm.DROPOUT,
                num_verbs=num_verbs,
            ),
        }

    def forward(self, entities: Entities, pairs: CandidatePairs) -> Tensor:
        """
        Returns:
            verb_logits (M, K) of the packed pairs of the batch.
        """
        features = [self.global_features(entities)[pairs.image_index], self.token_features(pairs)]
        if self.masked_roi is not None:
            features.append(self.union_features(entities, pairs))
        return self.reasoning(torch.cat(features, dim=1), pairs.counts)

    def global_features(self, entities: Entities) -> Tensor:
        """g: (B, feature_dim), mean of the backbone map inside the images."""
        return self.to_global(masked_mean(entities.feature_map, entities.feature_mask))

    def token_features(self, pairs: CandidatePairs) -> Tensor:
        """s: (M, 2 * feature_dim), human then object."""
        human, object_ = self.to_human(pairs.human_tokens), self.to_object(pairs.object_tokens)
        tokens = torch.cat([human, object_], dim=1)
        if self.box_pair_encoding is None:
            return tokens
        sizes = [instances.image_size for instances in pairs.instances]
        sizes = torch.tensor(sizes, device=tokens.device)[pairs.image_index]
        return self.box_pair_encoding(tokens, pairs.human_boxes, pairs.object_boxes, sizes)

    def union_features(self, entities: Entities, pairs: CandidatePairs) -> Tensor:
        """m: (M, feature_dim), masked RoI on the IRE's map."""
        relation_map = self.relation_encoder(entities.feature_map, entities.feature_mask)
        pooled = self.masked_roi(
            relation_map,
            entities.feature_mask,
            pairs.image_index,
            pairs.human_boxes,
            pairs.object_boxes,
        )
        return self.to_union(pooled)
