"""Self-attention over the pairs of an image, for cross-modal learning and the IRM."""

from __future__ import annotations

from torch import Tensor, nn

from hoi_d2.modeling.layers.transformer import SelfAttentionLayer, pad_sets


class PairSetEncoder(nn.Module):
    """Self-attention between the pairs of an image, with a projection to another width.

    RmLR (arXiv 2307.13529), Algorithm 1 step 2(4) and supplement F ("CML-SA").

    Args:
        in_dim: the width of the input vectors.
        hidden_dim, num_layers, num_heads, ffn_dim, dropout: the settings of the encoder.
        normalize: whether the projected vectors get a layer norm.
    """

    def __init__(
        self,
        *,
        in_dim: int,
        hidden_dim: int,
        num_layers: int,
        num_heads: int,
        ffn_dim: int,
        dropout: float,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        project = nn.Linear(in_dim, hidden_dim)
        self.projection = nn.Sequential(project, nn.LayerNorm(hidden_dim)) if normalize else project
        self.layers = nn.ModuleList(
            SelfAttentionLayer(
                dim=hidden_dim, num_heads=num_heads, ffn_dim=ffn_dim, dropout=dropout
            )
            for _ in range(num_layers)
        )

    def forward(self, vectors: Tensor, counts: list[int]) -> Tensor:
        """Encodes the pairs of each image as a set.

        Args:
            vectors: (M, in_dim), the pairs of the batch one image after the other.
            counts: pairs of each image.

        Returns:
            (M, hidden_dim).
        """
        padded, valid = pad_sets(self.projection(vectors), counts)
        for layer in self.layers:
            padded = layer(padded, valid)
        return padded[valid]
