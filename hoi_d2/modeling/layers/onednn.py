"""Linear layers through oneDNN on a CPU: torch gives float32 to another library, MKL.

MKL does not use AVX-512 on AMD's processors, and takes twice as long there (docs/speed.md).
torch's linear layer runs in oneDNN when its input has oneDNN's layout, which costs a copy of input
and output, so only layers of many rows do it, where no gradient is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROWS = 128
"""Of the input, from which on it is faster; with 50 rows it is slower."""


class OneDnnLinear(nn.Linear):
    """A linear layer with the weights of `nn.Linear` and, within rounding, its results."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return onednn_linear(input, self.weight, self.bias)


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`, through oneDNN where that is faster and possible."""
    if not _pays(x, weight):
        return F.linear(x, weight, bias)
    return through_onednn(x, weight, bias)


def through_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` of float32 tensors on a CPU, computed by oneDNN; no gradient."""
    return F.linear(x.to_mkldnn(), weight, bias).to_dense()


def use_onednn(module: nn.Module, *, enabled: bool = True) -> None:
    """Makes every plain `nn.Linear` of a module an `OneDnnLinear`, in place; no weight changes.

    Args:
        module: any.
        enabled: MODEL.ONEDNN_LINEAR; False = does nothing.
    """
    if not (enabled and torch.backends.mkldnn.is_available()):
        return
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = OneDnnLinear


def _pays(x: Tensor, weight: Tensor) -> bool:
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return False
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    is_float = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"
    if not is_float or torch.is_autocast_enabled("cpu"):
        return False
    return x.numel() >= ROWS * x.shape[-1] > 0
