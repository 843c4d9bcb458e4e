"""Interaction Reasoning Module (IRM): the pairs of an image look at each other, then tell verbs.

RmLR (arXiv 2307.13529), Algorithm 1 step 3; one encoder layer in the paper (supplement F).
"""

from __future__ import annotations

from torch import Tensor, nn

from hoi_d2.modeling.transformer import SelfAttentionLayer, pad_sets


class InteractionReasoningModule(nn.Module):
    """Pair vectors -> verb logits.

    Args:
        in_dim: width of a pair's vector [global, tokens, union].
        hidden_dim, num_layers, num_heads, ffn_dim, dropout: of the encoder over pairs.
        num_verbs: K.
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
        num_verbs: int,
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(in_dim, hidden_dim)
        self.layers = nn.ModuleList(
            SelfAttentionLayer(
                dim=hidden_dim, num_heads=num_heads, ffn_dim=ffn_dim, dropout=dropout
            )
            for _ in range(num_layers)
        )
        self.predictor = nn.Linear(hidden_dim, num_verbs)

    def forward(self, pair_features: Tensor, counts: list[int]) -> Tensor:
        """
        Args:
            pair_features: (M, in_dim), the pairs of the batch one image after the other.
            counts: pairs of each image.

        Returns:
            verb_logits (M, K).
        """
        padded, valid = pad_sets(self.projection(pair_features), counts)
        for layer in self.layers:
            padded = layer(padded, valid)
        return self.predictor(padded[valid])
