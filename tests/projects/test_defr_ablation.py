"""The ablation's short cut: the attention pool computed backwards from its query."""

import sys
from pathlib import Path

import pytest
import torch

from tests.modeling.image_encoder.small_encoders import small_encoder

_PROJECT = Path(__file__).parents[2] / "projects" / "defr_ablation"


@pytest.fixture
def read_once(monkeypatch):
    monkeypatch.syspath_prepend(str(_PROJECT))
    from frozen_trunk import read_once

    yield read_once
    sys.modules.pop("frozen_trunk")


def test_reads_what_the_pool_reads_and_learns_alike(read_once):
    encoder = small_encoder("resnet", size=64)
    pool = encoder.network.head
    with torch.no_grad():
        images = torch.rand(3, 3, 64, 64)
        cells = encoder.network.forward_features(images).flatten(2).transpose(1, 2)
    gradients = []
    for result in (read_once(pool, cells), encoder(images)):
        encoder.zero_grad()
        result.square().sum().backward()
        gradients.append([p.grad.clone() for n, p in pool.named_parameters() if n != "k.bias"])
    torch.testing.assert_close(read_once(pool, cells), encoder(images))
    for short, whole in zip(*gradients):
        torch.testing.assert_close(short, whole, atol=1e-5, rtol=1e-4)
