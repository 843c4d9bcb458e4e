"""One query row per mask over shared keys and values: what makes masked classification cheap."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def attend_rows(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    open_keys: Tensor | None = None,
    image_index: Tensor | None = None,
    *,
    hidden_bias: float = -torch.inf,
) -> Tensor:
    """Softmax attention of each image's single query over the keys that a mask leaves open.

    All masks of an image share its keys and values. The masks of all images are computed in one
    fused call.

    Args:
        query: (B, heads, d) one for each image.
        keys, values: (B, heads, N, d).
        open_keys: (M, N) bool, at least one True in each row; None = one row per image, all open.
        image_index: (M,) the image of each mask, in any order.
        hidden_bias: added to the logits of the keys that a mask does not leave open; -inf = they
            are hidden.

    Returns:
        (M, heads * d).
    """
    query = query[:, :, None]
    if open_keys is None:
        return F.scaled_dot_product_attention(query, keys, values).flatten(1)
    if not len(open_keys):
        return query.new_zeros(0, query.shape[1] * query.shape[3])
    image_index = known_index(image_index)
    if len(query) == 1:  # nothing to sort; an exported graph has one image and any number of masks
        query = query.expand(-1, -1, open_keys.shape[0], -1)
        [rows] = F.scaled_dot_product_attention(
            query, keys, values, attn_mask=_bias(open_keys[None, None], hidden_bias, query)
        )
        return rows.transpose(0, 1).flatten(1)
    # Images have different numbers of masks: pad them to (images, slots), with open rows.
    slot, slots = _slots(image_index, len(query))
    mask = open_keys.new_ones(len(query), slots, open_keys.shape[1])
    mask[image_index, slot] = open_keys
    rows = F.scaled_dot_product_attention(
        query.expand(-1, -1, slots, -1),
        keys,
        values,
        attn_mask=_bias(mask[:, None], hidden_bias, query),
    )
    return rows[image_index, :, slot].flatten(1)


def _bias(open_keys: Tensor, hidden_bias: float, query: Tensor) -> Tensor:
    """The mask as `scaled_dot_product_attention` takes it: bool, or numbers to add."""
    if hidden_bias == -torch.inf:
        return open_keys
    return torch.zeros_like(open_keys, dtype=query.dtype).masked_fill(~open_keys, hidden_bias)


def row_weights(query: Tensor, keys: Tensor, open_keys: Tensor, image_index: Tensor) -> Tensor:
    """The attention weights (M, heads, N), to be visualised; they sum to 1 over N."""
    scores = torch.einsum("bhd,bhnd->bhn", query, keys) * query.shape[-1] ** -0.5
    scores = scores[image_index].masked_fill(~open_keys[:, None], -torch.inf)
    return scores.softmax(dim=-1)


def known_index(image_index: Tensor | None) -> Tensor:
    """Checks that masks have an image index.

    Raises:
        ValueError: the index is None.
    """
    if image_index is None:
        raise ValueError("masks need `image_index`, the image of each mask")
    return image_index


def _slots(image_index: Tensor, images: int) -> tuple[Tensor, int]:
    """The place of each mask among those of its image, and the largest number of an image."""
    counts = torch.bincount(image_index, minlength=images)
    first = counts.cumsum(0) - counts
    order = image_index.argsort(stable=True)
    slot = torch.empty_like(order)
    slot[order] = torch.arange(len(order), device=order.device) - first[image_index[order]]
    return slot, int(counts.max())
