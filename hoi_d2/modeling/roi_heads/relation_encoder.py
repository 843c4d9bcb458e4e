"""Interactive Relation Encoder (IRE): re-mines interaction cues from the frozen backbone's map.

RmLR (arXiv 2307.13529), Algorithm 1 step 1(6). A detector's tokens mostly tell position and
category; the IRE is the trainable way back to what they lost.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hoi_d2.modeling.layers.transformer import SelfAttentionLayer


class InteractiveRelationEncoder(nn.Module):
    """1x1 convolution, then `num_layers` encoder layers over the cells of the map.

    Args:
        in_channels: the channels of the backbone map.
        hidden_dim: the channels of the output.
        num_layers: the number of layers, 2 in the paper; 0 = only the 1x1 convolution (the ablation
            without IRE).
        num_heads, ffn_dim, dropout: the settings of the layers.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        hidden_dim: int,
        num_layers: int,
        num_heads: int,
        ffn_dim: int,
        dropout: float,
    ) -> None:
        # transformers takes seconds to import, and most models have no IRE.
        from transformers.models.detr.modeling_detr import DetrSinePositionEmbedding

        super().__init__()
        self.projection = nn.Conv2d(in_channels, hidden_dim, kernel_size=1)
        self.positions = DetrSinePositionEmbedding(hidden_dim // 2, normalize=True)
        self.layers = nn.ModuleList(
            SelfAttentionLayer(
                dim=hidden_dim, num_heads=num_heads, ffn_dim=ffn_dim, dropout=dropout
            )
            for _ in range(num_layers)
        )

    def forward(self, feature_map: Tensor, mask: Tensor) -> Tensor:
        """Encodes the cells of the map.

        Args:
            feature_map: (B, C, h, w).
            mask: (B, h, w) bool, True inside the images.

        Returns:
            (B, hidden_dim, h, w).
        """
        x = self.projection(feature_map)
        shape, valid = x.shape, mask.flatten(1)
        positions = self.positions(shape=shape, device=x.device, dtype=x.dtype, mask=mask)
        positions = positions.flatten(2).transpose(1, 2)
        x = x.flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = layer(x, valid, positions)
        return x.transpose(1, 2).reshape(shape)

    @torch.no_grad()
    def start_from(self, projection: nn.Conv2d, layers: nn.ModuleList) -> None:
        """Copies a DETR encoder's projection and first layers, of the same widths.

        Args:
            projection: DETR's 1x1 convolution.
            layers: transformers' encoder layers, at least as many as there are here.

        Raises:
            ValueError: the widths differ; names the config keys.
        """
        own: list[Any] = list(self.layers)
        given: list[Any] = list(layers)
        ours = (self.projection.out_channels, *(m.ffn[0].out_features for m in own[:1]))
        theirs = (projection.out_channels, *(m.mlp.fc1.out_features for m in given[:1]))
        if ours != theirs[: len(ours)] or len(given) < len(own):
            raise ValueError(
                f"MODEL.RMLR.IRE.START_FROM_DETECTOR: IRE has (HIDDEN_DIM, FFN_DIM) {ours} and "
                f"{len(own)} layers, the detector's encoder {theirs} and {len(given)}"
            )
        self.projection.load_state_dict(projection.state_dict())
        for layer, detr in zip(own, given):
            attention = detr.self_attn
            for name in ("weight", "bias"):
                query, key = (getattr(getattr(attention, p), name) for p in ("q_proj", "k_proj"))
                getattr(layer.query_key, name).copy_(torch.cat([query, key]))
            layer.value.load_state_dict(attention.v_proj.state_dict())
            layer.out.load_state_dict(attention.o_proj.state_dict())
            layer.norm1.load_state_dict(detr.self_attn_layer_norm.state_dict())
            layer.norm2.load_state_dict(detr.final_layer_norm.state_dict())
            layer.ffn[0].load_state_dict(detr.mlp.fc1.state_dict())
            layer.ffn[3].load_state_dict(detr.mlp.fc2.state_dict())
