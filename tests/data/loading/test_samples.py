"""A fixed number of augmentations: the same ones in each pass, whatever else changes."""

from __future__ import annotations

import numpy as np
import pytest

from hoi_d2.data.loading.samples import SampleDataset
from hoi_d2.data.loading.stream import Sample

RECORDS = [{"file_name": "a.png"}, {"file_name": "b.png"}]


def draws(*, augmentations: int, seed: int = 0, first: int = 0, records=RECORDS) -> list[float]:
    """The mapper's random number for draws 0 to 3 of each record, record by record."""
    dataset = SampleDataset(
        records,
        mapper=lambda record: {"drawn": np.random.rand()},
        seed=seed,
        augmentations=augmentations,
    )
    samples = [Sample(i, first + 4 * i + n, n) for i in range(len(records)) for n in range(4)]
    return [dataset[sample]["drawn"] for sample in samples]


@pytest.mark.parametrize(("augmentations", "distinct"), [(0, 8), (1, 2), (2, 4), (3, 6)])
def test_number_of_augmentations(augmentations, distinct):
    found = draws(augmentations=augmentations)
    assert len(set(found)) == distinct
    if augmentations:
        assert found[augmentations % 4] == found[0], "passes take them in turn"


@pytest.mark.parametrize(
    "change", [{"seed": 5}, {"first": 100}, {"records": [RECORDS[0], {"file_name": "c.png"}]}]
)
def test_they_belong_to_the_image_alone(change):
    assert draws(augmentations=2, **change)[:4] == draws(augmentations=2)[:4]


def test_without_a_number_they_belong_to_the_place_in_the_stream():
    assert draws(augmentations=0)[0] != draws(augmentations=0, first=100)[0]
    assert draws(augmentations=0)[0] != draws(augmentations=0, seed=5)[0]
