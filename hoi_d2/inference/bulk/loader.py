"""Reads and resizes images in worker processes while the model runs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import BatchSampler, DataLoader, Dataset

from hoi_d2.data.images import ImageFileError
from hoi_d2.data.loading.build import batches_of, prepare_worker, usable_workers
from hoi_d2.inference.bulk.plan import Item, Plan
from hoi_d2.inference.bulk.sources import read_entry

ModelInput = dict[str, Any]


@dataclass(frozen=True)
class Read:
    """An image as the model takes it.

    Args:
        item: which one.
        model_input: of `HOIPredictor.model_input`; None where it could not be read.
        error: the reason, "" = it was read.
    """

    item: Item
    model_input: ModelInput | None
    error: str = ""


class Images(Dataset):
    """Reads the item that it is asked for.

    Args:
        to_input: (H, W, 3) RGB -> the model's input.
    """

    def __init__(self, to_input: Callable[[np.ndarray], ModelInput]) -> None:
        self.to_input = to_input

    def __getitem__(self, item: Item) -> Read:
        try:
            return Read(item, self.to_input(read_entry(item.entry)))
        except ImageFileError as error:
            return Read(item, None, str(error.problems[0].value))


def load(
    plan: Plan,
    shards: Iterable[int],
    to_input: Callable[[np.ndarray], ModelInput],
    *,
    batch_size: int,
    num_workers: int,
) -> Generator[list[Read], None, None]:
    """Batches of the shards' images, in order; a batch is of one shard.

    Closing the generator ends the workers. In flight are at most two batches for each worker,
    however many images there are.

    Args:
        plan: of the run.
        shards: their numbers.
        to_input: see `Images`.
        batch_size: images of a batch; the last one of a shard may have fewer.
        num_workers: at most; this process's share of the cores is the limit.
    """
    # torch's hint says numbers; a sampler hands on whatever the dataset takes.
    items = (plan.items(shard) for shard in shards)
    batches = (b for s in items for b in BatchSampler(s, batch_size, False))  # type: ignore[arg-type]
    loader: DataLoader = DataLoader(
        Images(to_input),
        batch_sampler=batches,
        num_workers=usable_workers(num_workers),
        collate_fn=list,
        worker_init_fn=prepare_worker,
    )
    return batches_of(loader)
