"""Operations that the processes of one run perform together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist
from detectron2.utils import comm

T = TypeVar("T")


def from_first_process(function: Callable[[], T]) -> T:
    """The result of a function that runs on the first process alone.

    Every process has to call it. The result must be picklable, with tensors on the CPU.

    Raises:
        RuntimeError: the function failed on the first process, here on the others. The first one
            raises the error itself.
    """
    if comm.get_world_size() == 1:
        return function()
    held: list[Any] = [None, ""]
    if comm.get_rank() == 0:
        try:
            held[0] = function()
        except Exception as error:
            dist.broadcast_object_list([None, f"{type(error).__name__}: {error}"])
            raise
    dist.broadcast_object_list(held)
    if held[1]:
        raise RuntimeError(f"the first process failed: {held[1]}")
    return held[0]
