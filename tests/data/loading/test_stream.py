"""The stream of batches: a pure function of the seed, cut alike for any number of parts."""

from itertools import islice

import pytest
import torch

from hoi_d2.data.loading.stream import BatchStream, aspect_ratio_groups, endless_indices


def batches(number: int, **options):
    return list(islice(BatchStream(**{"size": 10, "batch_size": 4, "seed": 1} | options), number))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_every_pass_shows_each_record_once(size):
    indices = list(islice(endless_indices(size=size, seed=0), 3 * size))
    for start in range(0, 3 * size, size):
        assert sorted(indices[start : start + size]) == list(range(size))


def test_passes_are_shuffled_differently_and_by_the_seed():
    first, again, other = (list(islice(endless_indices(size=50, seed=s), 100)) for s in (1, 1, 2))
    assert first == again != other
    assert first[:50] != first[50:] and first[:50] != sorted(first[:50])


def test_repeat_factors_hold_on_average():
    factors = torch.tensor([1.0, 2.5, 1.0, 3.0])
    passes = 400
    indices = list(islice(endless_indices(size=4, seed=0, repeat_factors=factors), passes * 7))
    counts = torch.bincount(torch.tensor(indices)) / len(indices)
    assert torch.allclose(counts, factors / factors.sum(), atol=0.02)


@pytest.mark.parametrize("world_size, micro_batches", [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1)])
@pytest.mark.parametrize("grouped", [False, True])
def test_all_parts_together_are_the_global_batches(world_size, micro_batches, grouped):
    groups = [i % 2 for i in range(10)] if grouped else None
    whole = batches(6, groups=groups)
    parts = [
        batches(
            6 * micro_batches,
            groups=groups,
            rank=rank,
            world_size=world_size,
            micro_batches=micro_batches,
        )
        for rank in range(world_size)
    ]
    for number, batch in enumerate(whole):
        step = slice(number * micro_batches, (number + 1) * micro_batches)
        assert [sample for part in parts for micro in part[step] for sample in micro] == batch


@pytest.mark.parametrize("first_batch", [0, 1, 5])
@pytest.mark.parametrize("groups", [None, [0, 1, 1, 0, 1, 0, 0, 1, 0, 1]])
def test_goes_on_where_it_was(first_batch, groups):
    stream = BatchStream(size=10, batch_size=4, seed=1, groups=groups)
    stream.first_batch = first_batch
    assert list(islice(stream, 3)) == batches(first_batch + 3, groups=groups)[first_batch:]


def test_groups_share_no_batch():
    groups = [0, 1, 1, 0, 1, 0, 0, 1, 0, 1]
    for batch in batches(20, groups=groups):
        assert len({groups[sample.index] for sample in batch}) == 1


def test_a_batch_that_cannot_be_cut_is_named():
    with pytest.raises(ValueError, match=r"IMS_PER_BATCH = 4 .* 3 equal parts"):
        BatchStream(size=10, batch_size=4, seed=1, world_size=3)


def test_aspect_ratio_groups():
    sizes = [(4, 3), (3, 4), (3, 3)]
    assert aspect_ratio_groups([]) == []
    assert aspect_ratio_groups([{"width": w, "height": h} for w, h in sizes]) == [0, 1, 1]


def test_the_first_batch_is_the_beginning_of_the_stream():
    stream = BatchStream(size=7, batch_size=2, seed=0)
    assert [sample.position for sample in next(iter(stream))] == [0, 1]
    stream.first_batch = 3
    assert [sample.position for sample in next(iter(stream))] == [6, 7]


@pytest.mark.parametrize("batch_size, micro_batches", [(0, 1), (-2, 1), (2, 0)])
def test_a_batch_without_images_is_refused(batch_size, micro_batches):
    with pytest.raises(ValueError, match="IMS_PER_BATCH"):
        BatchStream(size=7, batch_size=batch_size, seed=0, micro_batches=micro_batches)


@pytest.mark.parametrize("groups", [None, [0, 1] * 5])
def test_occurrences_count_the_draws_of_a_record(groups):
    seen: dict[int, list[int]] = {}
    for batch in batches(12, groups=groups):
        for sample in batch:
            seen.setdefault(sample.index, []).append(sample.occurrence)
    assert len(seen) == 10 and all(found == list(range(len(found))) for found in seen.values())
