"""How the pairs of the layout model look at each other, at a cost that grows with their number."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hoi_d2.modeling.roi_heads.layout_features import group_sums


class PairPooling(nn.Module):
    """Each pair sees a weighted mean over the pairs of its human, of its object, of its image.

    Attention whose weights depend on the pair that is looked at alone: the cost grows with the
    number of pairs, not with its square, and nothing is padded.

    Args:
        dim: of a pair; num_heads divides half of it.
        num_heads: weights of each pooling.
    """

    def __init__(self, dim: int, *, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(dim)
        self.weights = nn.Linear(dim, 3 * num_heads)
        self.values = nn.Linear(dim, 3 * (dim // 2))
        self.out = nn.Linear(3 * (dim // 2), dim)

    def forward(self, x: Tensor, groups: list[tuple[Tensor, int]]) -> Tensor:
        """Adds to each pair the means of its groups.

        Args:
            x: (M, dim).
            groups: three times (M,) the group of each pair, and how many groups there are.
        """
        normed = self.norm(x)
        weights = self.weights(normed).float().clamp(-10, 10).exp().chunk(3, dim=1)
        values = self.values(normed).float().chunk(3, dim=1)
        pooled = [_pooled(w, v, *g) for w, v, g in zip(weights, values, groups)]
        return x + self.out(torch.cat(pooled, dim=1).to(x.dtype))


def _pooled(weights: Tensor, values: Tensor, group: Tensor, number: int) -> Tensor:
    """Weighted mean of (M, d) values over each one's group, with (M, heads) weights."""
    heads = weights.shape[1]
    shaped = values.reshape(-1, heads, values.shape[1] // heads)
    total = group_sums(shaped * weights[:, :, None], group, number)
    mass = group_sums(weights, group, number)
    return (total[group] / mass[group][:, :, None]).flatten(1)
