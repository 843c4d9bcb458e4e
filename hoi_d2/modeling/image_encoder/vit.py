"""Vision transformers of timm whose last block is computed for the CLS row alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import torch
from timm.layers import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from hoi_d2.modeling.image_encoder.encoder import EncoderOptions, ImageEncoder, with_own
from hoi_d2.modeling.image_encoder.masked_attention import attend_rows, known_index
from hoi_d2.modeling.layers.onednn import OneDnnLinear, onednn_linear

# With several masked blocks every pair has its own tokens, so few pairs are computed at a time.
_PAIRS_AT_ONCE = 8


class VisionTransformerEncoder(ImageEncoder):
    """An image encoder that returns the CLS token of a ViT, after its last norm.

    Args:
        network: a ViT with a CLS token and plain pre-norm blocks.
        activation_checkpointing: recompute the blocks in the backward pass.
        **options: see `EncoderOptions`.

    Raises:
        ValueError: a transformer of another kind.
    """

    def __init__(
        self,
        network: VisionTransformer,
        *,
        activation_checkpointing: bool = False,
        **options: Unpack[EncoderOptions],
    ) -> None:
        _check(network)
        super().__init__(
            network, width=network.embed_dim, grid=network.patch_embed.grid_size, **options
        )
        self.activation_checkpointing = activation_checkpointing

    @property
    def position_table(self) -> str:
        return "pos_embed"

    def tokens_before_last(self, images: Tensor, *, masked_blocks: int = 1) -> Tensor:
        self.check_size(images)
        if not 1 <= masked_blocks <= len(self.network.blocks):
            raise ValueError(
                f"masked blocks: expected 1 to {len(self.network.blocks)}, got {masked_blocks}"
            )
        network = self.network
        x = network.norm_pre(network.patch_drop(network._pos_embed(network.patch_embed(images))))
        recompute = self.activation_checkpointing and self.training and torch.is_grad_enabled()
        for block in network.blocks[:-masked_blocks]:
            x = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
        return x

    def attend(
        self,
        tokens: Tensor,
        open_patches: Tensor | None = None,
        image_index: Tensor | None = None,
        *,
        masked_blocks: int = 1,
        hidden_bias: float = -torch.inf,
    ) -> Tensor:
        if masked_blocks > 1 and open_patches is not None:
            index = known_index(image_index)
            return self._attend_blocks(tokens, open_patches, index, masked_blocks, hidden_bias)
        for block in self.network.blocks[-masked_blocks:-1]:  # nothing is masked
            tokens = block(tokens)
        row = self._cls_row(self.network.blocks[-1], tokens, open_patches, image_index, hidden_bias)
        return self.network.norm(row)

    def query_keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _query_keys_values(self.network.blocks[-1], tokens)

    def _attend_blocks(
        self,
        tokens: Tensor,
        open_patches: Tensor,
        image_index: Tensor,
        masked_blocks: int,
        hidden_bias: float,
    ) -> Tensor:
        """Computes several masked blocks: after the first one, each pair has its own patches."""
        first, *rest = self.network.blocks[-masked_blocks:]
        cls = self._cls_row(first, tokens, open_patches, image_index, hidden_bias)
        patches = first(tokens)[:, 1:]
        rows = [
            self._own_tokens(
                rest, cls[some], patches[image_index[some]], open_patches[some], hidden_bias
            )
            for some in torch.arange(len(cls), device=cls.device).split(_PAIRS_AT_ONCE)
        ]
        return self.network.norm(torch.cat(rows) if rows else cls)

    def _own_tokens(
        self,
        blocks: Sequence[Block],
        cls: Tensor,
        patches: Tensor,
        open_patches: Tensor,
        hidden_bias: float,
    ) -> Tensor:
        """CLS rows (M, D) after `blocks`, of (M, D) rows and (M, N, D) patches of each pair."""
        index = torch.arange(len(cls), device=cls.device)
        for number, block in enumerate(blocks):
            tokens = torch.cat([cls[:, None], patches], dim=1)
            cls = self._cls_row(block, tokens, open_patches, index, hidden_bias)
            if number < len(blocks) - 1:
                patches = block(tokens)[:, 1:]
        return cls

    @staticmethod
    def _cls_row(
        block: Any,
        tokens: Tensor,
        open_patches: Tensor | None,
        image_index: Tensor | None,
        hidden_bias: float,
    ) -> Tensor:
        """The CLS row of a block's output (M, D), with its keys masked."""
        query, keys, values = _query_keys_values(block, tokens)
        mask = None if open_patches is None else with_own(open_patches)
        x = attend_rows(query, keys, values, mask, image_index, hidden_bias=hidden_bias)
        attention = block.attn
        x = attention.proj_drop(attention.proj(attention.norm(x)))
        cls = tokens[:, 0] if image_index is None else tokens[image_index, 0]
        x = cls + block.drop_path1(block.ls1(x))
        return x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))


def _query_keys_values(block: Any, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query of the CLS token (B, heads, d), keys and values of all (B, heads, N, d)."""
    attention, x = block.attn, block.norm1(tokens)
    heads, size = attention.num_heads, attention.attn_dim
    linear = onednn_linear if isinstance(attention.qkv, OneDnnLinear) else F.linear
    weight, bias = attention.qkv.weight, attention.qkv.bias
    query_bias, rest_bias = (None, None) if bias is None else (bias[:size], bias[size:])
    query = F.linear(x[:, 0], weight[:size], query_bias).unflatten(1, (heads, -1))
    rest = linear(x, weight[size:], rest_bias).unflatten(2, (2, heads, -1))
    keys, values = rest.permute(2, 0, 3, 1, 4).unbind(0)
    return attention.q_norm(query), attention.k_norm(keys), values


def _check(network: VisionTransformer) -> None:
    plain = all(type(b) is Block and type(b.attn) is Attention for b in network.blocks)
    gated = plain and any(getattr(b.attn, "gate", None) is not None for b in network.blocks)
    pooled = network.global_pool != "token" or network.num_prefix_tokens != 1
    if not plain or gated or pooled or network.pos_embed is None:
        raise ValueError(
            "the image encoder must be a plain vision transformer: pre-norm blocks, a CLS token "
            "and no other extra token, learnt positions, CLS pooling"
        )
