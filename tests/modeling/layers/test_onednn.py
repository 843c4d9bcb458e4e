"""oneDNN's way gives torch's numbers, and steps aside where it cannot be used."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hoi_d2.modeling.layers import onednn
from hoi_d2.modeling.layers.onednn import OneDnnConv2d, OneDnnLinear, onednn_works, use_onednn

needs_onednn = pytest.mark.skipif(not onednn_works(), reason="torch without oneDNN's operators")


@needs_onednn
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 5), (0, 6)),
        (nn.Linear(6, 5), (7, 6)),
        (nn.Linear(6, 5, bias=False), (2, 3, 7, 6)),
        (nn.Conv2d(6, 5, 1), (0, 6, 4, 4)),
        (nn.Conv2d(6, 5, 1, bias=False), (2, 6, 9, 7)),
        (nn.Conv2d(6, 4, 3, stride=2, padding=1, groups=2), (1, 6, 9, 7)),
        (nn.Conv2d(6, 5, 3, padding=2, dilation=2), (1, 6, 9, 7)),
    ],
)
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "channels_last"])
def test_the_same_numbers(layer: nn.Module, shape: tuple[int, ...], layout: str) -> None:
    x = torch.randn(shape)
    if layout == "transposed":  # the same numbers, otherwise laid out
        x = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    elif layout == "channels_last" and x.ndim == 4:
        x = x.to(memory_format=torch.channels_last)
    expected, names = layer(x), list(layer.state_dict())
    use_onednn(layer)
    assert type(layer) in (OneDnnLinear, OneDnnConv2d) and list(layer.state_dict()) == names
    with torch.no_grad():
        found = layer(x)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-5)


@needs_onednn
def test_where_it_cannot_be_used_torch_is(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = nn.Linear(4, 3), torch.randn(2, 4)
    use_onednn(layer)
    calls = []
    usual = onednn._linear
    monkeypatch.setattr(onednn, "_linear", lambda *args: calls.append(1) or usual(*args))
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
        torch.jit.trace(layer, x, check_trace=False)
        assert calls == []
        layer(x)
    assert calls == [1]


@pytest.mark.parametrize("what", ["gone", "other arguments", "other numbers"])
def test_operators_that_have_changed_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def changed(*args):
        if what == "other numbers":
            return torch.nn.functional.linear(*args) + 1
        raise (AttributeError if what == "gone" else TypeError)

    monkeypatch.setattr(onednn, "_linear", changed)
    onednn_works.cache_clear()
    layer = nn.Linear(2, 2)
    use_onednn(layer)
    assert type(layer) is nn.Linear
    monkeypatch.undo()
    onednn_works.cache_clear()
