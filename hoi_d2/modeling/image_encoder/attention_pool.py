"""CLIP's ResNets: a convolutional network whose last stage is an attention pool."""

from __future__ import annotations

from typing import Unpack

import torch
from timm.layers import AttentionPool2d
from timm.models.byobnet import ByobNet
from torch import Tensor

from hoi_d2.modeling.image_encoder.encoder import EncoderOptions, ImageEncoder, with_own
from hoi_d2.modeling.image_encoder.masked_attention import attend_rows


class AttentionPoolEncoder(ImageEncoder):
    """Output of the attention pool: the mean of the map, as a token, attends to its cells.

    Args:
        network: a network that ends in an attention pool with learnt positions.
        activation_checkpointing: recompute the stages in the backward pass.
        **options: see `EncoderOptions`.

    Raises:
        ValueError: a network of another kind.
    """

    def __init__(
        self,
        network: ByobNet,
        *,
        activation_checkpointing: bool = False,
        **options: Unpack[EncoderOptions],
    ) -> None:
        pool = network.head
        if (
            not isinstance(pool, AttentionPool2d)
            or pool.qkv is not None
            or pool.cls_token is not None
        ):
            raise ValueError(
                "the image encoder must be a CLIP ResNet, which ends in an attention pool"
            )
        super().__init__(network, width=pool.out_features, grid=pool.feat_size, **options)
        network.set_grad_checkpointing(activation_checkpointing)

    @property
    def position_table(self) -> str:
        return "head.pos_embed"

    def tokens_before_last(self, images: Tensor, *, masked_blocks: int = 1) -> Tensor:
        self.check_size(images)
        _only_one(masked_blocks)
        cells = self.network.forward_features(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1)
        return tokens + self.network.head.pos_embed

    def attend(
        self,
        tokens: Tensor,
        open_patches: Tensor | None = None,
        image_index: Tensor | None = None,
        *,
        masked_blocks: int = 1,
        hidden_bias: float = -torch.inf,
    ) -> Tensor:
        _only_one(masked_blocks)
        pool = self.network.head
        mask = None if open_patches is None else with_own(open_patches)
        rows = attend_rows(
            *self.query_keys_values(tokens), mask, image_index, hidden_bias=hidden_bias
        )
        return pool.proj(pool.drop(rows))

    def query_keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pool = self.network.head
        query = pool.q(tokens[:, 0]).unflatten(1, (pool.num_heads, -1))
        keys, values = (
            layer(tokens).unflatten(2, (pool.num_heads, -1)).transpose(1, 2)
            for layer in (pool.k, pool.v)
        )
        return query, keys, values


def _only_one(masked_blocks: int) -> None:
    if masked_blocks != 1:
        raise ValueError(
            f"{masked_blocks} masked blocks: an attention pool is the only stage that can be masked"
        )
