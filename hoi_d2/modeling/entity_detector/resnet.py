"""transformers' ResNet, convolution by convolution: folded, channels-last, blind to padding."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The batch norm of DETR and its relatives has this epsilon and no attribute for it.
_FROZEN_EPS = 1e-5
# What makes a convolution, in addition to its weights.
_FORM = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")


class ResNetFeatures:
    """Image -> last feature map, by the modules of a transformers `ResNetBackbone`.

    It owns no weights, so that their names stay those of transformers. Where no gradient is asked
    for, a fast copy of the backbone does the work; the copy is made again when a weight changes.

    Padded cells are set to zero before every convolution that looks at its neighbours. There they
    are what the convolution's own zero padding is at the border of an image, so an image's
    features do not depend on what else is in its batch. DETR as published lets them in.

    Args:
        backbone: the module.
        mask_padding: False = as published.
        fold_batchnorm: the fast copy has batch norm folded into the convolutions before it.
        channels_last: memory format of the fast copy.
        dtype: of the fast copy.
        compiled: the fast copy goes through `torch.compile`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        mask_padding: bool = True,
        fold_batchnorm: bool = False,
        channels_last: bool = False,
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        self.mask_padding = mask_padding
        self.fold_batchnorm, self.channels_last = fold_batchnorm, channels_last
        self.dtype, self.compiled = dtype, compiled
        self._walk = ResNetWalk(backbone)
        self._fast: Any = None
        self._made_from: tuple | None = None
        changed = fold_batchnorm or channels_last or compiled
        self.wants_copy = changed or dtype != torch.float32

    def __call__(self, images: Tensor, mask: Tensor | None) -> Tensor:
        """Computes the feature map of the last stage.

        Args:
            images: (B, 3, H, W).
            mask: (B, H, W) bool, True inside the images; None = no padding anywhere.

        Returns:
            (B, C, ceil(H / stride), ceil(W / stride)) in fp32.
        """
        if not self.mask_padding:
            mask = None
        if not self.wants_copy or self._walk.backbone.training or self._needs_gradient():
            return self._walk(images, mask)
        images = images.to(self.dtype)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return self._fast_walk()(images, mask).float()

    def _needs_gradient(self) -> bool:
        trained = any(p.requires_grad for p in self._walk.backbone.parameters())
        return trained and torch.is_grad_enabled()

    def _fast_walk(self) -> nn.Module:
        tensors = [*self._walk.backbone.parameters(), *self._walk.backbone.buffers()]
        made_from = tuple((t.data_ptr(), t._version) for t in tensors)
        if made_from != self._made_from:
            walk: Any = copy.deepcopy(self._walk).requires_grad_(False)
            if self.fold_batchnorm:
                fold_batchnorm(walk)
            walk.to(self.dtype)
            if self.channels_last:
                walk.to(memory_format=torch.channels_last)
            self._fast = torch.compile(walk) if self.compiled else walk
            self._made_from = made_from
        return self._fast

    def __deepcopy__(self, memo: dict) -> ResNetFeatures:
        new = copy.copy(self)
        new._walk, new._fast, new._made_from = copy.deepcopy(self._walk, memo), None, None
        return new

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_fast": None, "_made_from": None}


class ResNetWalk(nn.Module):
    """The forward pass itself.

    Args:
        backbone: transformers' `ResNetBackbone`, or a folded copy.
    """

    backbone: Any

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor, mask: Tensor | None) -> Tensor:
        """(B, 3, H, W) images and (B, H, W) mask or None -> (B, C, h, w) last map."""
        stem = self.backbone.embedder
        stride = stem.embedder.convolution.stride[0]
        x = stem.embedder(_blank(images, mask, 1))
        # After ReLU nothing is below zero, so zero is as good as minus infinity to the maximum.
        x = stem.pooler(_blank(x, mask, stride))
        stride *= 2
        for stage in self.backbone.encoder.stages:
            for block in stage.layers:
                x, stride = self._block(block, x, mask, stride)
        return x

    @staticmethod
    def _block(block: Any, x: Tensor, mask: Tensor | None, stride: int) -> tuple[Tensor, int]:
        """Output of a block of `stride` so far, and the stride after it."""
        residual = block.shortcut(x)
        for layer in block.layer:
            convolution = layer.convolution
            if convolution.kernel_size[0] > 1:
                x = _blank(x, mask, stride)
            x = layer(x)
            stride *= convolution.stride[0]
        x = x + residual if torch.is_grad_enabled() else x.add_(residual)
        return block.activation(x), stride


def stride_of_mask(mask: Tensor, stride: int) -> Tensor:
    """(B, H, W) mask of pixels -> (B, ceil(H / stride), ceil(W / stride)) mask of cells.

    An image of height h covers ceil(h / stride) cells, as it does when it is alone: what each
    convolution of stride 2 gives. Resizing the mask to the nearest, as DETR does, may tell another
    number where the padded size is no multiple of the stride.
    """
    return mask[:, ::stride, ::stride]


def _blank(x: Tensor, mask: Tensor | None, stride: int) -> Tensor:
    """Zeroes (B, C, h, w) outside the images."""
    if mask is None:
        return x
    return x.masked_fill(~stride_of_mask(mask, stride)[:, None], 0)


def dilate_last_stage(backbone: Any) -> None:
    """Halves the stride of the last stage: "DC5" of DETR (Carion et al., 2020, section 4.1).

    The first block strides no more, and the 3 x 3 convolutions of the blocks after it look twice
    as far, so that the weights of the usual stage still see what they were trained on.
    torchvision's `replace_stride_with_dilation` does the same. In place; no weight changes.

    Args:
        backbone: transformers' `ResNetBackbone`.
    """
    first, *others = backbone.encoder.stages[-1].layers
    for module in first.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
    for block in others:
        for module in block.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.dilation = module.padding = (2, 2)


class FoldedConvolution(nn.Module):
    """Convolution, batch norm and perhaps ReLU as one biased convolution and a ReLU in place."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.convolution = _folded(layer.convolution, layer.normalization)
        self.activation = getattr(layer, "activation", None) or nn.Identity()
        self.relu = isinstance(self.activation, nn.ReLU)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        x = self.convolution(x)
        return F.relu_(x) if self.relu else self.activation(x)


def fold_batchnorm(model: nn.Module) -> None:
    """Replaces every layer that has `convolution` and `normalization` by a folded one, in place."""
    for name, child in model.named_children():
        if isinstance(getattr(child, "normalization", None), nn.Module):
            setattr(model, name, FoldedConvolution(child))
        else:
            fold_batchnorm(child)


@torch.no_grad()
def _folded(convolution: nn.Conv2d, norm: Any) -> nn.Conv2d:
    """w' = w s, b' = beta - mean s with s = gamma / sqrt(var + eps), computed in fp64."""
    eps = getattr(norm, "eps", _FROZEN_EPS)
    scale = norm.weight.double() * (norm.running_var.double() + eps).rsqrt()
    form: dict[str, Any] = {name: getattr(convolution, name) for name in _FORM}
    folded = nn.Conv2d(**form, device=convolution.weight.device)
    folded.weight.copy_(convolution.weight.double() * scale[:, None, None, None])
    folded.get_parameter("bias").copy_(norm.bias.double() - norm.running_mean.double() * scale)
    return folded.requires_grad_(False)
