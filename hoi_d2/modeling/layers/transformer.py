"""Self-attention over padded sets: cells of a map (IRE) or the pairs of an image (IRM)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttentionLayer(nn.Module):
    """A post-norm transformer encoder layer with DETR's positions: added to queries and keys only.

    Args:
        dim: the width of the elements.
        num_heads, ffn_dim, dropout: the settings of a transformer layer.
        activation: the non-linearity of the two-layer network.
        norm_eps: of the layer norms.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        ffn_dim: int,
        dropout: float,
        activation: type[nn.Module] = nn.ReLU,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key = nn.Linear(dim, 2 * dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.norm1, self.norm2 = (nn.LayerNorm(dim, eps=norm_eps) for _ in range(2))
        self.ffn = nn.Sequential(
            nn.Linear(dim, ffn_dim), activation(), nn.Dropout(dropout), nn.Linear(ffn_dim, dim)
        )
        self.dropout = nn.Dropout(dropout)
        for linear in (self.query_key, self.value, self.out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, valid: Tensor, positions: Tensor | None = None) -> Tensor:
        """Applies the layer to a batch of sets.

        Args:
            x: (B, N, dim).
            valid: (B, N) bool; elements that are False are not attended to. A set may have no
                valid element: its output is finite but has no meaning.
            positions: (B, N, dim), optional.

        Returns:
            (B, N, dim).
        """
        x = self.norm1(x + self.dropout(self._attend(x, valid, positions)))
        return self.norm2(x + self.dropout(self.ffn(x)))

    def _attend(self, x: Tensor, valid: Tensor, positions: Tensor | None) -> Tensor:
        located = x if positions is None else x + positions
        query, key = self.query_key(located).chunk(2, dim=-1)
        query, key, value = (self._split(t) for t in (query, key, self.value(x)))
        empty = ~valid.any(dim=1, keepdim=True)  # attending to nothing would give NaN
        mask = (valid | empty)[:, None, None, :]
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        # not `unflatten`: tracing would keep the number of elements as a constant
        batch, number, dim = x.shape
        return x.reshape(batch, number, self.num_heads, dim // self.num_heads).transpose(1, 2)


def pad_sets(packed: Tensor, counts: list[int]) -> tuple[Tensor, Tensor]:
    """Packed elements of several sets -> a padded batch.

    Args:
        packed: (sum(counts), dim).
        counts: size of each set, 0 included.

    Returns:
        (B, max(counts), dim) with zeros where there is nothing, and the (B, max(counts)) bool mask
        of what is there; `padded[mask]` is `packed` again.
    """
    if len(counts) == 1:  # nothing to pad; an exported graph has one image and any number of pairs
        return packed[None], torch.ones_like(packed[None, :, 0], dtype=torch.bool)
    sizes = torch.tensor(counts, device=packed.device)
    valid = torch.arange(max(counts, default=0), device=packed.device)[None] < sizes[:, None]
    padded = packed.new_zeros(*valid.shape, packed.shape[-1])
    padded[valid] = packed
    return padded, valid
