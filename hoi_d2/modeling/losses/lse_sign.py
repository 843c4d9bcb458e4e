"""The LSE-Sign loss, forward and backward in one tensor.

DEFR (Jin et al., arXiv 2203.05676), equation 2: L = log(1 + sum_i exp(-y_i s_i)), y_i in {1, -1}.
Its gradient is -y_i times a softmax over {0, -y s} (equation 4), so the forward already holds it:
nothing else of the size of the logits is made or kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def lse_sign_loss(logits: Tensor, positive: Tensor, left_out: Tensor | None = None) -> Tensor:
    """LSE-Sign of each image.

    Args:
        logits: (B, C) scaled logits s.
        positive: (B, C) bool; y = 1 there, else -1.
        left_out: (B, C) bool; these classes have no term at all. None = none.

    Returns:
        (B,) in float32 (float64 for float64 logits); log(C + 1) at zero logits, 0 with no class.
    """
    with torch.autocast(logits.device.type, enabled=False):
        return _LSESign.apply(logits, positive, left_out)


class _LSESign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, positive: Tensor, left_out: Tensor | None) -> Tensor:
        batch, classes = logits.shape
        dtype = torch.promote_types(logits.dtype, torch.float32)
        # The only tensor of this size: first -y s behind a column of zeros, then its softmax, then
        # the gradient. Each step is in place.
        terms = torch.zeros(batch, classes + 1, dtype=dtype, device=logits.device)
        signed = terms[:, 1:]
        signed.copy_(logits)
        positions = positive.nonzero(as_tuple=True)  # few, unlike a (B, C) tensor of signs
        signed[positions] = -signed[positions]
        if left_out is not None:
            signed.masked_fill_(left_out, float("-inf"))
        largest = terms.amax(dim=1, keepdim=True)  # at least 0, so nothing overflows below
        total = terms.sub_(largest).exp_().sum(dim=1, keepdim=True)
        if ctx.needs_input_grad[0]:
            terms.div_(total)
            signed[positions] = -signed[positions]
            ctx.save_for_backward(terms)
            ctx.logits_dtype = logits.dtype
        return (largest + total.log()).squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (terms,) = ctx.saved_tensors
        return (terms[:, 1:] * grad[:, None]).to(ctx.logits_dtype), None, None
