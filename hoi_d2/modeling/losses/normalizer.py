"""The count that a loss is divided by, which does not depend on how a batch is split.

A loss summed over its targets is divided by the number of targets in the batch of a whole optimiser
step: over all processes, and over all micro-batches if gradients are accumulated. With the count of
each part instead, the weight of a target would depend on its part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

_SCOPES: list[_Scope] = []


def loss_normalizer(name: str, count: float | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """The number to divide the loss of this part of the batch by.

    The mean over the parts of the batch (processes x micro-batches) of the quotients is the sum of
    the losses over the sum of the counts, if that is at least 1; gradients are averaged in the
    same way.

    Args:
        name: the name of the count, a different one for each loss.
        count: the number of targets in this part of the batch.
        device: the device of the result; ignored if `count` is a tensor.

    Returns:
        A scalar, at least 1 / number of parts.
    """
    count = torch.as_tensor(count, dtype=torch.float32, device=_device_of(count, device))
    if _SCOPES:
        return _SCOPES[-1].normalizer(name, count)
    return _total_over_ranks(count).clamp(min=1) / _world_size()


@contextmanager
def collect_counts() -> Iterator[Counter[str]]:
    """Inside, `loss_normalizer` only adds its counts to the counter that this yields."""
    scope = _Collect()
    _SCOPES.append(scope)
    try:
        yield scope.counts
    finally:
        _SCOPES.pop()


@contextmanager
def step_counts(counts: dict[str, float], *, micro_batches: int) -> Iterator[None]:
    """Inside, `loss_normalizer` divides by the counts of the whole step.

    Args:
        counts: the counts of all micro-batches of this process, by name.
        micro_batches: the number of micro-batches.
    """
    names = sorted(counts)
    totals = torch.tensor([counts[name] for name in names], dtype=torch.float32)
    totals = _total_over_ranks(totals.to(_communication_device()))
    _SCOPES.append(_Divide(dict(zip(names, totals)), parts=_world_size() * micro_batches))
    try:
        yield
    finally:
        _SCOPES.pop()


class _Scope:
    def normalizer(self, name: str, count: Tensor) -> Tensor:
        raise NotImplementedError


class _Collect(_Scope):
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def normalizer(self, name: str, count: Tensor) -> Tensor:
        self.counts[name] += float(count)  # type: ignore[assignment]  # a Counter adds up any number
        return count.clamp(min=1)


class _Divide(_Scope):
    def __init__(self, totals: dict[str, Tensor], *, parts: int) -> None:
        self.totals, self.parts = totals, parts

    def normalizer(self, name: str, count: Tensor) -> Tensor:
        if name not in self.totals:
            raise KeyError(
                f"loss_normalizer({name!r}) was not counted before the step, only "
                f"{sorted(self.totals)}: the model's count_targets must name it"
            )
        return self.totals[name].to(count.device).clamp(min=1) / self.parts


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _communication_device() -> torch.device:
    on_gpu = _world_size() > 1 and dist.get_backend() == "nccl"
    return torch.device("cuda" if on_gpu else "cpu")


def _total_over_ranks(count: Tensor) -> Tensor:
    if _world_size() == 1:
        return count
    total = count.detach().clone()
    dist.all_reduce(total)
    return total


def _device_of(count: float | Tensor, device: torch.device | str) -> torch.device | str:
    return count.device if isinstance(count, Tensor) else device
