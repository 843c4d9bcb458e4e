"""A loader's worker stays small, whatever the size of the data set."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetFromList

from hoi_d2.data.datasets.hico_det import load_hico_det


def own_megabytes() -> tuple[float, float]:
    """What this process alone holds, and its fair share of what it shares with others."""
    fields = dict(
        line.split()[:2] for line in Path("/proc/self/smaps_rollup").open() if "kB" in line
    )
    private = int(fields["Private_Dirty:"]) + int(fields["Private_Clean:"])
    return private / 1024, int(fields["Pss:"]) / 1024


class Measured(torch.utils.data.Dataset):
    """Reads records all over the data set and says how much memory that takes."""

    def __init__(self, records: DatasetFromList) -> None:
        self.records = records

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[float, float]:
        for i in range(index, len(self.records), 4):
            assert self.records[i]["annotations"]
        return own_megabytes()


@pytest.fixture
def frozen_heap() -> Iterator[None]:
    """Else collecting garbage in a worker copies the pages of all that other tests have left."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_worker_of_hico_det(test_data, frozen_heap):
    records = load_hico_det(test_data / "hico_det/trainval_hico.json")
    dataset = Measured(DatasetFromList(records, copy=False))
    del records
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=2)
    for private, share in loader:
        print(
            f"\na worker over HICO-DET train: {private:.0f} MB alone, {share:.0f} MB with its share"
        )
        # The share is mostly of what earlier tests have left in this process.
        assert private < 150
