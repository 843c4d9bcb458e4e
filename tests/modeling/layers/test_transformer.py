import pytest
import torch
from torch import nn

from hoi_d2.modeling.layers.transformer import SelfAttentionLayer, pad_sets


def layer(dim=16, **options):
    torch.manual_seed(0)
    options = {"dim": dim, "num_heads": 4, "ffn_dim": 32, "dropout": 0.0} | options
    return SelfAttentionLayer(**options).eval()


@pytest.mark.parametrize("counts", [[], [0], [3], [2, 0, 5]])
def test_packing_and_unpacking(counts):
    packed = torch.arange(float(sum(counts) * 2)).reshape(-1, 2)
    padded, valid = pad_sets(packed, counts)
    assert padded.shape[:2] == (len(counts), max(counts, default=0))
    assert valid.sum(dim=1).tolist() == counts
    torch.testing.assert_close(padded[valid], packed)


def test_a_set_does_not_see_the_padding_or_another_set():
    module, sizes = layer(), [4, 1, 7, 0]
    packed = torch.randn(sum(sizes), 16)
    padded, valid = pad_sets(packed, sizes)
    padded[~valid] = 1e3
    together = module(padded, valid)[valid]
    alone = torch.cat(
        [module(part[None], torch.ones(1, len(part)).bool())[0] for part in packed.split(sizes)]
    )
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_an_empty_set_is_finite_and_so_are_its_gradients():
    module = layer()
    x = torch.randn(2, 3, 16, requires_grad=True)
    out = module(x, torch.tensor([[True, True, False], [False, False, False]]))
    out[0, :2].sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(x.grad).all()


def test_equals_torch_with_positions_in_queries_and_keys():
    module = layer()
    attention = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([module.query_key.weight, module.value.weight]))
        attention.in_proj_bias.copy_(torch.cat([module.query_key.bias, module.value.bias]))
        attention.out_proj.weight.copy_(module.out.weight)
        attention.out_proj.bias.copy_(module.out.bias)
    x, positions = torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    valid = torch.tensor([[True] * 5, [True, True, True, False, False]])
    located = x + positions
    attended = attention(located, located, x, key_padding_mask=~valid)[0]
    hidden = module.norm1(x + attended)
    expected = module.norm2(hidden + module.ffn(hidden))
    torch.testing.assert_close(
        module(x, valid, positions)[valid], expected[valid], rtol=1e-4, atol=1e-5
    )
