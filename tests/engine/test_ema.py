"""The weight average against its formula, buffers included."""

import torch
from torch import nn

from hoi_d2.engine.ema import WeightAverage


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1).requires_grad_(False))


def step(module: nn.Module, number: int) -> None:
    """Moves everything: weights by 1, and the batch norm's statistics."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 1
    module.train()(torch.randn(4, 2) + number)


def test_follows_fast_at_first_and_then_with_its_decay():
    """(1 + n) / (10 + n) until the decay: 2/11, 3/12, ..., reaches 0.4 at the fifth update."""
    module = model()
    average = WeightAverage(module, decay=0.4)
    expected = module[0].weight.detach().clone()
    for number, decay in enumerate([2 / 11, 3 / 12, 4 / 13, 5 / 14, 0.4, 0.4], 1):
        step(module, number)
        average.update()
        expected = decay * expected + (1 - decay) * module[0].weight.detach()
        torch.testing.assert_close(average.average["0.weight"], expected, rtol=1e-6, atol=0)


def test_statistics_are_averaged_and_counters_followed():
    module = model()
    average = WeightAverage(module, decay=0.0)
    step(module, 1)
    average.update()
    expected = dict(module[1].named_buffers())
    for name, value in expected.items():
        torch.testing.assert_close(average.average[f"1.{name}"], value)
    assert average.average["1.num_batches_tracked"] == 1
    average.decay = 0.9
    before = average.average["1.running_mean"].clone()
    step(module, 100)
    average.update()  # the second: (1 + 2) / (10 + 2)
    mixed = 0.25 * before + 0.75 * module[1].running_mean
    torch.testing.assert_close(average.average["1.running_mean"], mixed)
    assert average.average["1.num_batches_tracked"] == 2


def test_what_is_frozen_has_no_average():
    assert not any(n.startswith("2.") for n in WeightAverage(model(), decay=0.5).average)
    names = WeightAverage(model(), decay=0.5, frozen_prefixes=("1.",)).average
    assert sorted(names) == ["0.bias", "0.weight"]
