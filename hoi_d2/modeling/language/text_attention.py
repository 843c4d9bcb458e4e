"""Attention from pairs to the texts of their sentences (RmLR, Algorithm 1 step 2(6)).

Each pair looks at the vectors of its own set of sentences alone; the sets of a batch are packed,
not padded. The texts are inputs without a gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

KINDS = ("mean", "fixed", "learnt", "layer")
"""Of MODEL.RMLR.CML.CROSS_ATTENTION; the first three are `TextAttention`s."""


def build_text_attention(
    kind: str, *, dim: int, num_heads: int, ffn_dim: int, dropout: float
) -> nn.Module:
    """Builds one of `KINDS`: a module of (pairs, texts, mask, owners), see `TextAttention`.

    Raises:
        ValueError: there is no such kind, or the heads do not divide the width.
    """
    if kind not in KINDS:
        raise ValueError(f"MODEL.RMLR.CML.CROSS_ATTENTION must be one of {KINDS}, got {kind!r}")
    if dim % num_heads:
        raise ValueError(
            f"MODEL.RMLR.CML: HIDDEN_DIM {dim} is not a multiple of NUM_HEADS {num_heads}"
        )
    if kind == "layer":
        return CrossAttentionLayer(dim=dim, num_heads=num_heads, ffn_dim=ffn_dim, dropout=dropout)
    return TextAttention(dim=dim, num_heads=num_heads, kind=kind)


class TextAttention(nn.Module):
    """Multi-head attention of each pair over all text vectors of its set of sentences.

    Args:
        dim: of pairs and texts.
        num_heads: divides `dim`.
        kind: "mean": all texts count alike, one fixed vector for a set. "fixed": queries and keys
            are the vectors as they are. "learnt": they are projected by trained weights; all
            sentences share words such as "a person is", and learnt attention may come to look at
            these alone. With these three the result lies between the text vectors, and training
            cannot move it away. "layer": the values are projected as well.
    """

    def __init__(self, *, dim: int, num_heads: int, kind: str) -> None:
        super().__init__()
        self.num_heads, self.uniform = num_heads, kind == "mean"
        learnt = kind in ("learnt", "layer")
        self.query = nn.Linear(dim, dim) if learnt else nn.Identity()
        self.key = nn.Linear(dim, dim, bias=False) if learnt else nn.Identity()
        self.value = nn.Linear(dim, dim) if kind == "layer" else nn.Identity()

    def forward(self, pairs: Tensor, texts: Tensor, mask: Tensor | None, owners: Tensor) -> Tensor:
        """Attends from each pair to the text vectors of its sentences.

        Args:
            pairs: (N, dim) queries.
            texts: (E, L, dim) keys and values: L vectors of each of E sentences.
            mask: (E, L) bool, True where there is a vector; None = everywhere.
            owners: (E,) which pair a sentence belongs to; each pair has one at least.

        Returns:
            (N, dim).
        """
        query = self.query(pairs).unflatten(-1, (self.num_heads, -1))[owners]  # (E, heads, d)
        key = self.key(texts).unflatten(-1, (self.num_heads, -1))  # (E, L, heads, d)
        value = self.value(texts).unflatten(-1, (self.num_heads, -1))
        logits = torch.einsum("ehd,elhd->elh", query, key) / math.sqrt(key.shape[-1])
        if self.uniform:
            logits = torch.zeros_like(logits)
        if mask is not None:
            logits = logits.masked_fill(~mask[..., None], -math.inf)
        weights = self._softmax(logits, owners, len(pairs))
        said = torch.einsum("elh,elhd->ehd", weights, value).flatten(1)
        return said.new_zeros(len(pairs), said.shape[1]).index_add(0, owners, said)

    @staticmethod
    def _softmax(logits: Tensor, owners: Tensor, count: int) -> Tensor:
        """(E, L, heads) softmax over all vectors of a pair's sentences, by segments."""
        heads = logits.shape[2]
        if not logits.numel():
            return logits
        peak = logits.new_full((count, heads), -math.inf)
        rows = owners[:, None].expand(-1, heads)
        peak.scatter_reduce_(0, rows, logits.detach().amax(dim=1), "amax")
        weights = (logits - peak[owners][:, None]).exp()
        total = weights.new_zeros(count, heads).index_add(0, owners, weights.sum(dim=1))
        return weights / total[owners][:, None]


class CrossAttentionLayer(nn.Module):
    """A post-norm transformer layer whose queries are pairs, keys and values their texts.

    Query, key, value and output projections, a two-layer network, residuals and layer norms, as
    `SelfAttentionLayer` has them (Vaswani et al., arXiv 1706.03762). The residual hands on the
    pair's own vector, so that a loss against the result can fall without any text: see
    `projects/alignment/README.md`.

    Args:
        dim: of pairs and texts.
        num_heads, ffn_dim, dropout: the settings of a transformer layer.
    """

    def __init__(self, *, dim: int, num_heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = TextAttention(dim=dim, num_heads=num_heads, kind="layer")
        self.out = nn.Linear(dim, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.ffn = nn.Sequential(
            nn.Linear(dim, ffn_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(ffn_dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, pairs: Tensor, texts: Tensor, mask: Tensor | None, owners: Tensor) -> Tensor:
        """(N, dim) pairs with what their texts say; arguments as of `TextAttention`."""
        said = self.out(self.attention(pairs, texts, mask, owners))
        x = self.norm1(pairs + self.dropout(said))
        return self.norm2(x + self.dropout(self.ffn(x)))
