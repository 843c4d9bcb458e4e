"""The endless stream of training images: a pure function of a seed, split into global batches.

detectron2's loader shuffles and groups inside each worker, so the images of a step depend on the
number of workers and processes, and a resumed run starts the shuffle again. Here every process
draws the same global batches and takes its share. The images are the same for any number of
processes, workers and micro-batches, and a resumed run continues with the next batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler


class Sample(NamedTuple):
    """One draw of the stream."""

    index: int  # type: ignore[assignment]  # hides the method of tuples, which is not used
    """The record of the dataset."""
    position: int
    """The number of earlier draws; together with the seed, it determines the augmentation."""
    occurrence: int = 0
    """The number of earlier draws of the same record."""


def endless_indices(*, size: int, seed: int, repeat_factors: Tensor | None = None) -> Iterator[int]:
    """Yields shuffled passes over `range(size)` without end.

    Args:
        size: the number of records.
        seed: the seed, the same on every process.
        repeat_factors: (size,) average number of times a record occurs in a pass; the fraction is
            rounded up or down at random in each pass. None = once each.
    """
    generator = torch.Generator().manual_seed(seed)
    indices = torch.arange(size)
    while True:
        if repeat_factors is not None:
            whole = repeat_factors.floor()
            up = torch.rand(size, generator=generator) < repeat_factors - whole
            indices = torch.arange(size).repeat_interleave((whole + up).long())
        yield from indices[torch.randperm(len(indices), generator=generator)].tolist()


class BatchStream(Sampler[list[Sample]]):
    """The micro-batches of one process, from the stream of global batches.

    Args:
        size: the number of records.
        batch_size: the number of images in a global batch (one optimiser step).
        seed: the seed, the same on every process.
        rank: the rank of this process.
        world_size: the number of processes.
        micro_batches: the number of parts of a process's share of a global batch.
        groups: (size,) group of each record; records of different groups (aspect ratio) are never
            in one batch. None = one group.
        repeat_factors: see `endless_indices`.

    Raises:
        ValueError: the batch cannot be split into equal parts.
    """

    def __init__(
        self,
        *,
        size: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        micro_batches: int = 1,
        groups: Sequence[int] | None = None,
        repeat_factors: Tensor | None = None,
    ) -> None:
        parts = world_size * micro_batches
        if batch_size < 1 or parts < 1 or batch_size % parts:
            raise ValueError(
                f"SOLVER.IMS_PER_BATCH = {batch_size} cannot be split into {parts} equal parts "
                f"({world_size} processes x SOLVER.ACCUMULATE = {micro_batches})"
            )
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.groups, self.repeat_factors = groups, repeat_factors
        self.micro_batches, self.first_batch = micro_batches, 0
        self._share = range(rank * micro_batches, (rank + 1) * micro_batches)
        self._part = batch_size // parts

    def __iter__(self) -> Iterator[list[Sample]]:
        for number, batch in enumerate(self.global_batches()):
            if number < self.first_batch:
                continue
            for part in self._share:
                yield batch[part * self._part : (part + 1) * self._part]

    def global_batches(self) -> Iterator[list[Sample]]:
        """Yields the batches of all processes from the beginning of the stream."""
        waiting: dict[int, list[Sample]] = {}
        seen = [0] * self.size
        indices = endless_indices(
            size=self.size, seed=self.seed, repeat_factors=self.repeat_factors
        )
        for position, index in enumerate(indices):
            group = 0 if self.groups is None else self.groups[index]
            batch = waiting.setdefault(group, [])
            batch.append(Sample(index, position, seen[index]))
            seen[index] += 1
            if len(batch) == self.batch_size:
                yield waiting.pop(group)

    def description(self) -> dict[str, Any]:
        """The settings that determine the stream; a resumed run compares them with its own."""
        return {
            "size": self.size,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "grouped": self.groups is not None,
            "repeated": self.repeat_factors is not None,
        }


def aspect_ratio_groups(records: Sequence[dict[str, Any]]) -> list[int]:
    """0 for a landscape record, 1 for the others, so that a batch needs less padding."""
    return [0 if record["width"] > record["height"] else 1 for record in records]
