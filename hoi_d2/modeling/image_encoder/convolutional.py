"""Convolutional networks that end in an average pool: the pool is what a mask acts on."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint_sequential

from hoi_d2.modeling.image_encoder.encoder import EncoderOptions, ImageEncoder
from hoi_d2.modeling.image_encoder.masked_attention import known_index


class ConvolutionalEncoder(ImageEncoder):
    """The mean of the cells of the last map, through a linear layer if the network has one.

    DEFR-Det's mask carries over to it: an average pool is attention with equal weights, so the
    mean is taken over the open cells. The pool is the first stage that can be masked. Blocks before
    it, as many as have the resolution of the grid, can be masked as well: the hidden cells of their
    input are 0, as those outside of the image are.

    Args:
        network: an EfficientNet without squeeze-and-excitation, which no mask of cells hides from.
        activation_checkpointing: recompute the blocks in the backward pass.
        **options: see `EncoderOptions`.

    Raises:
        ValueError: a network of another kind.
    """

    def __init__(
        self,
        network: EfficientNet,
        *,
        activation_checkpointing: bool = False,
        **options: Unpack[EncoderOptions],
    ) -> None:
        _check(network)
        cells = options["image_size"] // network.feature_info[-1]["reduction"]
        width = network.num_classes or network.num_features
        super().__init__(network, width=width, grid=(cells, cells), **options)
        self.activation_checkpointing = activation_checkpointing
        self.blocks = _blocks(network)

    @property
    def own_layers(self) -> tuple[str, ...]:
        """The linear layer behind the pool, which no weights of ImageNet fit."""
        return ("classifier",) if self.network.num_classes else ()

    def tokens_before_last(self, images: Tensor, *, masked_blocks: int = 1) -> Tensor:
        self.check_size(images)
        before = self._first_masked(masked_blocks)
        network = self.network
        x = network.bn1(network.conv_stem(images))
        if self.activation_checkpointing and self.training and torch.is_grad_enabled():
            x = checkpoint_sequential(
                self.blocks[:before], len(self.blocks), x, use_reentrant=False
            )
        else:
            x = nn.Sequential(*self.blocks[:before])(x)
        if masked_blocks == 1:
            x = self._head_map(x)
        cells = x.flatten(2).transpose(1, 2)
        return torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1)

    def attend(
        self,
        tokens: Tensor,
        open_patches: Tensor | None = None,
        image_index: Tensor | None = None,
        *,
        masked_blocks: int = 1,
        hidden_bias: float = -torch.inf,
    ) -> Tensor:
        if hidden_bias != -torch.inf:
            raise ValueError("an average pool has no logits: MODEL.DEFR_DET.MASK as_released")
        mask = None
        if open_patches is None:
            x = _map(tokens, self.grid)
        else:
            x = _map(tokens, self.grid)[known_index(image_index)]
            mask = open_patches.unflatten(1, self.grid)[:, None].to(x.dtype)
        if masked_blocks > 1:
            for block in self.blocks[self._first_masked(masked_blocks) :]:
                x = block(x if mask is None else x * mask)
            x = self._head_map(x)  # of one cell each
        if mask is None:
            pooled = x.mean(dim=(2, 3))
        else:
            seen = mask.sum(dim=(2, 3))
            pooled = (x * mask).sum(dim=(2, 3)) / seen.clamp(min=1)
            pooled = torch.where(seen > 0, pooled, x.mean(dim=(2, 3)))
        return self.network.classifier(pooled)

    def _head_map(self, x: Tensor) -> Tensor:
        """The cells that are pooled: the last convolution, of one cell each."""
        return self.network.bn2(self.network.conv_head(x))

    def _first_masked(self, masked_blocks: int) -> int:
        """Index of the first block that a mask acts on; the pool is masked in any case."""
        most = 1 + next(
            number for number, block in enumerate(reversed(self.blocks)) if _is_strided(block)
        )
        if not 1 <= masked_blocks <= most:
            raise ValueError(f"masked blocks: expected 1 to {most}, got {masked_blocks}")
        return len(self.blocks) + 1 - masked_blocks


def _blocks(network: Any) -> list[nn.Module]:
    return [block for stage in network.blocks for block in stage]


def _map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, 1 + rows * columns, C) -> (B, C, rows, columns)."""
    return tokens[:, 1:].transpose(1, 2).unflatten(2, grid)


def _is_strided(block: nn.Module) -> bool:
    return any(isinstance(m, nn.Conv2d) and m.stride != (1, 1) for m in block.modules())


def _check(network: EfficientNet) -> None:
    excited = any(not isinstance(getattr(b, "se", None), nn.Identity) for b in _blocks(network))
    if excited or network.drop_rate:
        raise ValueError(
            "the image encoder must be an EfficientNet without squeeze-and-excitation and without "
            "dropout: tf_efficientnet_lite0 to lite4, or a mobilenetv2"
        )
