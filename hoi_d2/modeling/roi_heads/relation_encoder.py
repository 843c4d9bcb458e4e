"""Interactive Relation Encoder (IRE): re-mines interaction cues from the frozen backbone's map.

RmLR (arXiv 2307.13529), Algorithm 1 step 1(6). A detector's tokens mostly tell position and
category; the IRE is the trainable way back to what they lost.
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers.models.detr.modeling_detr import DetrSinePositionEmbedding

from hoi_d2.modeling.transformer import SelfAttentionLayer


class InteractiveRelationEncoder(nn.Module):
    """1x1 convolution, then `num_layers` encoder layers over the cells of the map.

    Args:
        in_channels: of the backbone map.
        hidden_dim: channels of the output.
        num_layers: 2 in the paper; 0 leaves the projected map (the ablation without IRE).
        num_heads, ffn_dim, dropout: of the layers.
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
        """
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
