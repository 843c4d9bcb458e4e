"""Products and convolutions by oneDNN where torch, on a CPU, would take a slower library.

torch gives float32 matrix products, and 1x1 convolutions on one thread, to MKL, which does half of
what oneDNN does on processors of other makers than its own (docs/speed.md has the measured gain).
The operators that are called here are those of torch.compile's CPU backend. They are not part of
torch's public interface, so they are tried once and left alone unless they give torch's numbers.
They have no gradient: whoever needs one, or is on a GPU, gets torch's usual way.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class OneDnnLinear(nn.Linear):
    """`nn.Linear` with a faster way through inference on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        return _linear(x, self.weight, self.bias) if _usable(x) else super().forward(x)


class OneDnnConv2d(nn.Conv2d):
    """`nn.Conv2d` with a faster way through inference on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        return _convolution(x, self) if _usable(x) else super().forward(x)


def use_onednn(module: nn.Module) -> None:
    """Gives the linear layers and convolutions below a module the faster way, in place.

    Weights, their names and the training stay as they are. Without oneDNN nothing changes.
    """
    if not onednn_works():
        return
    for child in module.modules():
        # The same parameters under the same names: another class is all that is needed.
        if type(child) is nn.Linear:
            child.__class__ = OneDnnLinear
        elif type(child) is nn.Conv2d and child.padding_mode == "zeros":
            child.__class__ = OneDnnConv2d


@cache
@torch.inference_mode()
def onednn_works() -> bool:
    """Whether this torch has the operators, and they do what they are taken for."""
    if not torch.backends.mkldnn.is_available():
        return False
    x = torch.linspace(-1, 1, 2 * 3 * 5 * 4).reshape(2, 3, 5, 4)
    layer = nn.Conv2d(3, 2, 3, stride=2, padding=1)
    try:
        convolved = _convolution(x, layer)
        multiplied = _linear(x, x[0, 0], None)
    except (AttributeError, RuntimeError, TypeError):  # gone, or with other arguments
        return False
    expected = F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1), F.linear(x, x[0, 0])
    return all(
        a.shape == b.shape and torch.allclose(a, b, atol=1e-5)
        for a, b in zip((convolved, multiplied), expected)
    )


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _convolution(x: Tensor, layer: nn.Conv2d) -> Tensor:
    geometry = list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups
    return torch.ops.mkldnn._convolution_pointwise(
        x, layer.weight, layer.bias, *geometry, "none", [], ""
    )


def _usable(x: Tensor) -> bool:
    return (
        not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.numel() > 0
    )
