"""The measure that compares an exported graph with torch."""

from __future__ import annotations

import math

import pytest
import torch

from hoi_d2.export.graph import difference

CLASSES = torch.arange(2000)


def with_wrong(number: int) -> torch.Tensor:
    """The classes, the first ones of them wrong."""
    return torch.where(torch.arange(2000) < number, CLASSES + 7, CLASSES)


@pytest.mark.parametrize(
    ("right", "other", "expected"),
    [
        (torch.zeros(0, 4), torch.zeros(0, 4), 0.0),
        (torch.zeros(0, 4), torch.zeros(1, 4), math.inf),
        (torch.tensor([0.5, 0.25]), torch.tensor([0.5, 0.75]), 0.5),
        (torch.tensor([100.0, 1.0]), torch.tensor([100.0, 2.0]), 0.01),
        (torch.tensor([1.0, 1.0]), torch.tensor([1.0, math.nan]), math.inf),
        (torch.tensor([True, False]), torch.tensor([True, True]), 0.5),
        (CLASSES, with_wrong(2), 0.0),
        (CLASSES, with_wrong(3), 0.0015),
        (CLASSES, CLASSES[:5], math.inf),
    ],
)
def test_difference(right, other, expected):
    assert difference(right, other) == pytest.approx(expected)
