"""The held-out tenth: exact in number, the same whatever the order, another by another seed."""

import random

import pytest

from hoi_d2.data.datasets.hico import load_hico
from hoi_d2.data.holdout import hold_out


def records(number):
    return [{"file_name": f"images/{i:05d}.jpg"} for i in range(number)]


def names(part):
    return {r["file_name"].rsplit("/", 1)[-1] for r in part}


@pytest.mark.parametrize("number, held", [(0, 0), (1, 0), (10, 1), (1000, 100)])
def test_sizes_and_a_partition(number, held):
    rest, out = hold_out(records(number))
    assert len(out) == held and len(rest) == number - held
    assert names(rest) | names(out) == names(records(number))


def test_order_and_folder_do_not_matter_and_the_seed_does():
    first = names(hold_out(records(500))[1])
    shuffled = [
        {"file_name": "/other/" + r["file_name"].removeprefix("images/")} for r in records(500)
    ]
    random.Random(1).shuffle(shuffled)
    assert names(hold_out(shuffled)[1]) == first
    assert names(hold_out(records(500), seed=1)[1]) != first


def test_records_keep_their_order():
    for part in hold_out(records(200)):
        assert part == sorted(part, key=lambda r: r["file_name"])


def test_real_hico(real_data):
    train = load_hico(real_data / "hico_det" / "anno.mat", split="train")
    rest, held = hold_out(train)
    assert (len(rest), len(held)) == (34306, 3812)
