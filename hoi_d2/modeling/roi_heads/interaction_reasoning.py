"""Interaction Reasoning Module (IRM): self-attention over the pairs of an image, then verbs.

RmLR (arXiv 2307.13529), Algorithm 1 step 3; one encoder layer in the paper (supplement F).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from hoi_d2.modeling.roi_heads.pair_set_encoder import PairSetEncoder


class InteractionReasoningModule(PairSetEncoder):
    """Computes verb logits from pair vectors.

    Args:
        num_verbs: K.
        hidden_dim: width of a pair in the encoder.
        **encoder: of `PairSetEncoder`; what comes in is [global, tokens, union].
    """

    def __init__(self, *, num_verbs: int, hidden_dim: int, **encoder: Any) -> None:
        super().__init__(hidden_dim=hidden_dim, normalize=False, **encoder)
        self.predictor = nn.Linear(hidden_dim, num_verbs)

    def forward(self, vectors: Tensor, counts: list[int]) -> Tensor:
        """Computes the verb logits of the pairs.

        Args:
            vectors: (M, in_dim), the pairs of the batch one image after the other.
            counts: pairs of each image.

        Returns:
            verb_logits (M, K).
        """
        return self.predictor(self.encoded(vectors, counts))

    def encoded(self, vectors: Tensor, counts: list[int]) -> Tensor:
        """(M, hidden_dim) vectors that the verb logits are a linear map of."""
        return super().forward(vectors, counts)
