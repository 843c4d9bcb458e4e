"""UPT's cooperative layer: the entities of an image look at each other and at how they lie.

UPT (Zhang et al., CVPR 2022), section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

NORM_EPS = 1e-12  # of UPT's layer norms after a feed-forward network


@dataclass(frozen=True)
class EntityGrid:
    """All ordered pairs of entities of the same image, each entity with itself included, packed.

    Attributes:
        sender, receiver: (S,) rows of the packed entities; sender after sender within an image.
        images: (S,) the image of each pair.
        first_entity, first_pair: (B,) where each image's entities and pairs begin.
        counts: (B,) entities of each image.
    """

    sender: Tensor
    receiver: Tensor
    images: Tensor
    first_entity: Tensor
    first_pair: Tensor
    counts: Tensor

    @classmethod
    def of(cls, counts: list[int], device: torch.device) -> EntityGrid:
        """The grid of images with so many entities; with 0 an image takes no place."""
        sizes = torch.tensor(counts, dtype=torch.int64, device=device)
        squares = sizes**2
        first_entity, first_pair = sizes.cumsum(0) - sizes, squares.cumsum(0) - squares
        images = torch.repeat_interleave(squares)
        place = torch.arange(len(images), device=device) - first_pair[images]
        start, size = first_entity[images], sizes[images]
        sender, receiver = start + place // size, start + place % size
        return cls(sender, receiver, images, first_entity, first_pair, sizes)

    def rows(self, pairs: Tensor, images: Tensor) -> Tensor:
        """(M,) where pairs stand in the grid; (M, 2) of rows within their images (M,)."""
        return self.first_pair[images] + pairs[:, 0] * self.counts[images] + pairs[:, 1]


class CooperativeLayer(nn.Module):
    """Each entity gets messages from all entities of its image, itself included.

    Args:
        token_dim: the width of an entity.
        feature_dim: the width of an encoded box pair, and of all heads together.
        num_heads: divides `feature_dim`.
        dropout: in training.
    """

    def __init__(self, *, token_dim: int, feature_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        width = feature_dim // num_heads
        self.unary = nn.Linear(token_dim, feature_dim)
        self.pairwise = nn.Linear(feature_dim, feature_dim)
        self.attention = HeadwiseLinear(num_heads, 3 * width, 1)
        self.message = HeadwiseLinear(num_heads, width, width)
        self.aggregate = nn.Linear(feature_dim, token_dim)
        self.norm = nn.LayerNorm(token_dim)
        self.ffn = nn.Sequential(
            nn.Linear(token_dim, 4 * token_dim), nn.GELU(), nn.Linear(4 * token_dim, token_dim)
        )
        self.ffn_norm = nn.LayerNorm(token_dim, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, boxes: Tensor, grid: EntityGrid) -> Tensor:
        """
        Args:
            tokens: (E, token_dim) of the packed entities.
            boxes: (S, feature_dim) encoded box pairs of the grid.
            grid: who looks at whom.

        Returns:
            (E, token_dim).
        """
        unary = self._heads(self.unary(tokens).relu())
        sent, pairwise = unary[grid.sender], self._heads(self.pairwise(boxes).relu())
        seen = torch.cat([sent, unary[grid.receiver], pairwise], dim=2)
        weights = softmax_in_groups(self.attention(seen), grid.receiver, len(tokens))
        messages = weights * self.message(sent * pairwise).float()
        received = messages.new_zeros(len(tokens), *messages.shape[1:])
        received = received.index_add(0, grid.receiver, messages).flatten(1).relu()
        tokens = self.norm(tokens + self.dropout(self.aggregate(received)))
        return self.ffn_norm(tokens + self.dropout(self.ffn(tokens)))

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), self.num_heads, x.shape[1] // self.num_heads)


class HeadwiseLinear(nn.Module):
    """A linear layer of its own for each head.

    Args:
        num_heads, in_dim, out_dim: the number of heads, and their widths.
    """

    def __init__(self, num_heads: int, in_dim: int, out_dim: int) -> None:
        super().__init__()
        bound = in_dim**-0.5  # as nn.Linear
        self.weight = nn.Parameter(torch.empty(num_heads, out_dim, in_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_heads, out_dim).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_heads, in_dim) -> (N, num_heads, out_dim)."""
        return torch.einsum("nhi,hoi->nho", x, self.weight) + self.bias


def softmax_in_groups(scores: Tensor, group: Tensor, number: int) -> Tensor:
    """Softmax over the rows of each group.

    Args:
        scores: (S, ...).
        group: (S,) the group of each row.
        number: of groups; some may have no row.

    Returns:
        (S, ...) in fp32.
    """
    scores = scores.float()
    index = group.reshape(-1, *[1] * (scores.ndim - 1)).expand_as(scores)
    best = scores.detach().new_zeros(number, *scores.shape[1:])
    best = best.scatter_reduce(0, index, scores.detach(), "amax", include_self=False)
    chances = (scores - best[group]).exp()
    return chances / torch.zeros_like(best).index_add(0, group, chances)[group]
