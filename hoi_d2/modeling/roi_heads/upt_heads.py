"""UPT's interaction head: first the entities of an image cooperate, then its pairs compete.

UPT: Efficient Two-Stage Detection of Human-Object Interactions with a Novel Unary-Pairwise
Transformer, Zhang et al., CVPR 2022 (arXiv 2112.01838), sections 3.2-3.4.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY
from torch import Tensor, nn

from hoi_d2.config.load import ConfigError
from hoi_d2.modeling.entity_detector.interface import Entities
from hoi_d2.modeling.layers.transformer import SelfAttentionLayer, pad_sets
from hoi_d2.modeling.roi_heads.box_pair_encoding import (
    MultiBranchFusion,
    box_pair_encoder,
    box_pair_features,
)
from hoi_d2.modeling.roi_heads.cooperative_layer import NORM_EPS, CooperativeLayer, EntityGrid
from hoi_d2.modeling.roi_heads.interaction_heads import PairVectors
from hoi_d2.modeling.roi_heads.masked_roi import masked_mean
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs

BOX_EPS = 1e-10  # of the 36 numbers of a box pair


@ROI_HEADS_REGISTRY.register()
class UPTHeads(nn.Module):
    """Tokens, boxes and the mean of the backbone's map -> verb logits.

    All steps run over the packed entities and pairs of the batch. An image without a pair takes no
    part in them. The mean of the map is over the cells inside the image, so that padding changes
    nothing; UPT's, over all cells, is the same for a batch of one image, as it is evaluated.

    Args:
        in_channels: the channels of the backbone's map.
        token_dim: the width of the detector's tokens.
        num_verbs: K.
        feature_dim: the width of an encoded box pair, and of each half of a pair's vector.
        num_branches: the branches of the fusions.
        num_layers: the number of cooperative layers.
        num_heads: the heads of the cooperative layers and of the competitive layer.
        ffn_dim: the inner width of the competitive layer.
        dropout: in training.
    """

    @configurable
    def __init__(
        self,
        *,
        in_channels: int,
        token_dim: int,
        num_verbs: int,
        feature_dim: int = 512,
        num_branches: int = 16,
        num_layers: int = 2,
        num_heads: int = 8,
        ffn_dim: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        fusion = {"box_dim": feature_dim, "dim": feature_dim, "branches": num_branches}
        self.box_pair_encoder = box_pair_encoder(feature_dim)
        self.cooperative_layers = nn.ModuleList(
            CooperativeLayer(
                token_dim=token_dim,
                feature_dim=feature_dim,
                num_heads=num_heads,
                dropout=dropout,
            )
            for _ in range(num_layers)
        )
        self.fusion = MultiBranchFusion(in_dim=2 * token_dim, **fusion)
        self.global_fusion = MultiBranchFusion(in_dim=in_channels, **fusion)
        self.competitive_layer = SelfAttentionLayer(
            dim=2 * feature_dim,
            num_heads=num_heads,
            ffn_dim=ffn_dim,
            dropout=dropout,
            activation=nn.GELU,
            norm_eps=NORM_EPS,
        )
        self.predictor = nn.Linear(2 * feature_dim, num_verbs)

    @classmethod
    def from_config(
        cls, cfg: CfgNode, input_shape: ShapeSpec, *, token_dim: int, num_verbs: int
    ) -> dict[str, Any]:
        node = cfg.MODEL.UPT
        if not token_dim:
            raise ConfigError(
                f"MODEL.ENTITY_DETECTOR.NAME {cfg.MODEL.ENTITY_DETECTOR.NAME} gives boxes alone; "
                "MODEL.RMLR.HEADS UPTHeads needs tokens: take DetrEntityDetector"
            )
        return {
            "in_channels": input_shape.channels,
            "token_dim": token_dim,
            "num_verbs": num_verbs,
            "feature_dim": node.FEATURE_DIM,
            "num_branches": node.NUM_BRANCHES,
            "num_layers": node.NUM_LAYERS,
            "num_heads": node.NUM_HEADS,
            "ffn_dim": node.FFN_DIM,
            "dropout": node.DROPOUT,
        }

    @property
    def relation_encoder(self) -> None:
        """None: the map is averaged as it is."""
        return None

    def forward(self, entities: Entities, pairs: CandidatePairs) -> PairVectors:
        """Computes the verb logits of all pairs.

        Args:
            entities: the entities of the batch, for the backbone's map.
            pairs: the candidate pairs; the entities that are kept have tokens.
        """
        return PairVectors(self.verb_logits(masked_mean(*entities.map_and_mask()), pairs))

    def verb_logits(self, pooled: Tensor, pairs: CandidatePairs) -> Tensor:
        """(M, K) of the pairs, with the (B, in_channels) means of the images' maps."""
        # Without a pair an image is left out: none of its entities is looked at.
        kept = [i[: len(i) if n else 0] for i, n in zip(pairs.instances, pairs.counts)]
        grid = EntityGrid.of([len(i) for i in kept], pooled.device)
        boxes = torch.cat([i.pred_boxes.tensor for i in kept]).to(pooled.device)
        boxes = self.encoded_boxes(pairs, boxes, grid)
        tokens = torch.cat([i.tokens for i in kept])
        for layer in self.cooperative_layers:
            tokens = layer(tokens, boxes, grid)
        local, image = torch.cat(pairs.pair_indices).to(pooled.device), pairs.image_index
        boxes = boxes[grid.rows(local, image)]
        human, object_ = (local + grid.first_entity[image][:, None]).unbind(dim=1)
        own = self.fusion.fuse(torch.cat([tokens[human], tokens[object_]], dim=1), boxes)
        vectors = torch.cat([own, self.global_fusion.fuse(pooled, boxes, image)], dim=1)
        padded, valid = pad_sets(vectors, [n for n in pairs.counts if n])
        return self.predictor(self.competitive_layer(padded, valid)[valid])

    def encoded_boxes(self, pairs: CandidatePairs, boxes: Tensor, grid: EntityGrid) -> Tensor:
        """(S, feature_dim) of all ordered pairs of entities."""
        sizes = torch.tensor([i.image_size for i in pairs.instances], device=boxes.device)
        features = box_pair_features(
            boxes[grid.sender], boxes[grid.receiver], sizes[grid.images], eps=BOX_EPS
        )
        return self.box_pair_encoder(features)
