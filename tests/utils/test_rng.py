import random

import numpy as np
import pytest
import torch

from hoi_d2.utils.rng import preserved_rng, rng_state, sample_rng, set_rng_state


def draw() -> tuple[float, float, float, float]:
    return random.gauss(0, 1), np.random.normal(), torch.rand(()).item(), torch.randn(()).item()


def test_a_state_gives_the_same_numbers_again(tmp_path):
    draw()
    torch.save(rng_state(), tmp_path / "rng.pth")
    expected = [draw() for _ in range(3)]
    set_rng_state(torch.load(tmp_path / "rng.pth", weights_only=True))
    assert [draw() for _ in range(3)] == expected


@pytest.mark.parametrize("context", [preserved_rng, lambda: sample_rng(1, 2)])
def test_leaves_no_trace(context):
    state = rng_state()
    expected = draw()
    set_rng_state(state)
    with context():
        draw()
    assert draw() == expected


def test_sample_numbers_depend_on_the_key_alone():
    results = []
    for key in ((1, 2), (1, 2), (1, 3), (2, 2)):
        draw()
        with sample_rng(*key):
            results.append(draw())
    assert results[0] == results[1]
    assert len(set(results)) == 3
