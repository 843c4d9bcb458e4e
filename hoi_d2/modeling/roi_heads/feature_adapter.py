"""A small network on top of the feature of a frozen tower."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FeatureAdapter(nn.Module):
    """x + W2 gelu(W1 norm(x)): the feature itself at first, and what training adds to it.

    A residual bottleneck on CLIP's feature (CLIP-Adapter, Gao et al., arXiv 2110.04544) that
    begins as the identity (Houlsby et al., arXiv 1902.00751), so that an untrained head scores as
    the tower does.

    Args:
        width: D of the feature.
        hidden_dim: of the bottleneck.
        dropout: of the feature and of the bottleneck, in training only.
    """

    def __init__(self, *, width: int, hidden_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.down = nn.Linear(width, hidden_dim)
        self.up = nn.Linear(hidden_dim, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(M, D) -> (M, D) in float32, in which the classifier computes."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            inner = self.dropout(self.norm(features))
            return features + self.up(self.dropout(F.gelu(self.down(inner))))
