"""The demo without input: what it trains is the same in every run."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from hoi_d2.demo import toy


class BuiltError(Exception):
    """The trainer would be built now."""


def draws() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_the_training_starts_from_the_seed(monkeypatch, tmp_path):
    """Unseeded, the weights of the head and so the figure differed from run to run."""
    drawn = []

    def trainer(cfg):
        drawn.append(draws())
        raise BuiltError

    monkeypatch.setattr(toy, "HOITrainer", trainer)
    for number in range(2):
        draws()
        with pytest.raises(BuiltError):
            toy._train(tmp_path / str(number))
    assert drawn[0] == drawn[1]
