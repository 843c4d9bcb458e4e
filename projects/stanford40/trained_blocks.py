"""The last blocks of the encoder as a module that is trained, fast enough for one core.

On a CPU PyTorch's gradient of the filters of a depthwise convolution of 5 x 5 takes most of the
time of a step, in bfloat16 above all; here it is one matrix product for each channel.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from timm.layers import pad_same
from torch import Tensor, nn
from torch.nn import functional as F

from hoi_d2.modeling.image_encoder.convolutional import ConvolutionalEncoder

_SMALL = 7  # maps of this side and less: all pairs of cells are few
_LAST = torch.channels_last


class TrainedBlocks(nn.Module):
    """A copy of the encoder's last blocks and what follows them, to be trained.

    Batch norm keeps ImageNet's statistics; it computes in bfloat16.

    Args:
        encoder: the frozen one.
        blocks: how many; all of them: with the convolution in front of them, from images on.
    """

    def __init__(self, encoder: ConvolutionalEncoder, blocks: int) -> None:
        super().__init__()
        network, chosen = encoder.network, encoder.blocks[-blocks:]
        whole = blocks == len(encoder.blocks)
        parts = [network.conv_stem, network.bn1] if whole else []
        parts = copy.deepcopy([*parts, *chosen, network.conv_head, network.bn2])
        self.parts = nn.Sequential(*parts).eval().requires_grad_().to(memory_format=_LAST)
        self.start = encoder.normalize if whole else nn.Identity()
        for part in self.parts.modules():
            if isinstance(part, nn.Conv2d) and part.groups > 1:
                part.forward = _forward.__get__(part)

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps (B, C, rows, columns), or images on 0..255 -> (B, F)."""
        inputs = self.start(inputs.float()).contiguous(memory_format=_LAST)
        with torch.autocast("cpu", torch.bfloat16):
            maps = self.parts(inputs)
        return maps.float().mean(dim=(2, 3))


def _forward(layer: Any, inputs: Tensor) -> Tensor:
    """Of a depthwise layer, also of TensorFlow's kind, which pads by its input."""
    padding = layer.padding
    if type(layer) is not nn.Conv2d:
        inputs = pad_same(inputs, layer.kernel_size, layer.stride, layer.dilation)
        padding = (0, 0)
    return Depthwise.apply(inputs.bfloat16(), layer.weight, layer.stride, padding)


class Depthwise(torch.autograd.Function):
    """A depthwise convolution without bias: inputs (B, C, H, W), filters (C, 1, k, k)."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, filters: Tensor, stride: tuple, padding: tuple) -> Tensor:
        ctx.save_for_backward(inputs, filters)
        ctx.stride, ctx.padding = stride, padding
        weight = filters.to(inputs.dtype)
        return F.conv2d(inputs, weight, None, stride, padding, groups=len(filters))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        inputs, filters = ctx.saved_tensors

        def gradients(inputs: Tensor, grad: Tensor, wanted: list[bool]) -> tuple[Tensor, ...]:
            weight = filters.to(inputs.dtype)
            window = (list(ctx.stride), list(ctx.padding), [1, 1], False, [0, 0], len(filters))
            backward = torch.ops.aten.convolution_backward
            return backward(grad, inputs, weight, None, *window, wanted)

        of_inputs = gradients(inputs, grad, [True, False, False])[0]
        if max(inputs.shape[2:]) <= _SMALL and inputs.shape == grad.shape:
            return of_inputs, _of_filters(inputs, grad, filters), None, None
        exact = (x.float().contiguous(memory_format=_LAST) for x in (inputs, grad))
        return of_inputs, gradients(*exact, [False, True, False])[1], None, None


def _of_filters(inputs: Tensor, grad: Tensor, filters: Tensor) -> Tensor:
    """Products of all pairs of cells of each channel, added up by the offset between the two."""
    x, g = (x.permute(1, 2, 3, 0).flatten(1, 2) for x in (inputs, grad))  # (C, cells, B)
    pairs = torch.bmm(x, g.transpose(1, 2)).flatten(1)
    sums = _offsets(*inputs.shape[2:], filters.shape[-1])
    return (pairs @ sums.to(pairs.dtype)).view_as(filters).to(filters.dtype)


@cache
def _offsets(rows: int, columns: int, side: int) -> Tensor:
    """(cells of the input * cells of the output, side * side) of 0 and 1."""
    y, x = torch.arange(rows).repeat_interleave(columns), torch.arange(columns).repeat(rows)
    dy, dx = (c[:, None] - c[None] + side // 2 for c in (y, x))
    inside = (dy >= 0) & (dy < side) & (dx >= 0) & (dx < side)
    number = torch.where(inside, dy * side + dx, side * side).flatten()
    return F.one_hot(number, side * side + 1)[:, :-1].float()
