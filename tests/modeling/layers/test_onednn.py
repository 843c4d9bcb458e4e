"""Linear layers through oneDNN give what `nn.Linear` gives, where they are taken."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from hoi_d2.modeling.layers import onednn
from hoi_d2.modeling.layers.onednn import OneDnnLinear, use_onednn
from hoi_d2.modeling.layers.transformer import SelfAttentionLayer
from tests.checkpoint.small_models import small_model

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN"
)
HICO = ("MODEL.HOI.VOCABULARY", "hico_det")


@pytest.fixture
def calls(monkeypatch) -> list[tuple[int, ...]]:
    """Shapes that went through oneDNN."""
    found: list[tuple[int, ...]] = []
    to_mkldnn = torch.Tensor.to_mkldnn

    def counted(self, *args, **kwargs):
        found.append(tuple(self.shape))
        return to_mkldnn(self, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to_mkldnn", counted)
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "shape, taken", [((0, 24), 0), ((127, 24), 0), ((128, 24), 1), ((2, 70, 24), 1), ((300, 24), 1)]
)
@torch.no_grad()
def test_results_are_those_of_linear(calls, shape, taken, bias):
    torch.manual_seed(0)
    plain = nn.Linear(24, 40, bias=bias)
    fast = copy.deepcopy(plain)
    use_onednn(fast)
    x = torch.randn(shape)
    torch.testing.assert_close(fast(x), plain(x), rtol=1e-5, atol=1e-5)
    assert len(calls) == taken
    use_onednn(plain, enabled=False)
    assert type(plain) is nn.Linear


def strided(x):
    return x.expand(2, 200, 24)[1:].transpose(0, 1)


@pytest.mark.parametrize("layout", [strided, lambda x: x[::2], lambda x: x.flip(0)])
@torch.no_grad()
def test_any_memory_layout(layout):
    plain = nn.Linear(24, 40)
    fast = copy.deepcopy(plain)
    use_onednn(fast)
    x = layout(torch.randn(400, 24)[:200] if layout is strided else torch.randn(400, 24))
    torch.testing.assert_close(fast(x), plain(x), rtol=1e-5, atol=1e-5)


def test_not_where_it_must_not_be(calls):
    layer = nn.Linear(24, 40)
    use_onednn(layer)
    x = torch.randn(200, 24)
    layer(x).sum().backward()  # it is trained
    assert layer.weight.grad is not None
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
        copy.deepcopy(layer).double()(x.double())
        torch.jit.trace(layer, x, check_trace=False)
    assert not calls


def test_frozen_layers_in_a_training_step(calls):
    layer = nn.Linear(24, 40).requires_grad_(False)
    use_onednn(layer)
    x = torch.randn(200, 24)
    assert layer(x).shape == (200, 40) and calls == [(200, 24)]
    trained = x.clone().requires_grad_(True)
    layer(trained).sum().backward()  # a gradient flows through it
    assert trained.grad is not None and len(calls) == 1


@torch.no_grad()
def test_a_transformer_layer():
    torch.manual_seed(0)
    plain = SelfAttentionLayer(dim=64, num_heads=4, ffn_dim=128, dropout=0.0).eval()
    fast = copy.deepcopy(plain)
    use_onednn(fast)
    x, valid = torch.randn(2, 150, 64), torch.rand(2, 150) > 0.2
    torch.testing.assert_close(fast(x, valid), plain(x, valid), rtol=1e-5, atol=1e-5)
    assert sum(type(m) is OneDnnLinear for m in fast.modules()) == 5
    assert list(fast.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize("enabled", [True, False])
@torch.no_grad()
def test_the_key_decides(monkeypatch, calls, enabled):
    monkeypatch.setattr(onednn, "ROWS", 1)
    torch.manual_seed(0)
    model = small_model(*HICO, "MODEL.ONEDNN_LINEAR", enabled, architecture="RmLR")
    image = torch.randint(0, 256, (3, 64, 96)).byte()
    model([{"image": image, "height": 64, "width": 96}])
    assert bool(calls) == enabled
