import math

import pytest
import torch

from hoi_d2.modeling.language.text_attention import KINDS, build_text_attention

DIM, HEADS, FFN, WORDS = 8, 2, 12, 3
SIZES = {"dim": DIM, "num_heads": HEADS, "ffn_dim": FFN, "dropout": 0.1}


def attention(kind, **options):
    torch.manual_seed(0)
    return build_text_attention(kind, **SIZES | options).eval()


# owners of the sentences, number of words of each
SETS = [
    ([], []),
    ([0], [1]),
    ([0, 0, 1], [3, 1, 2]),
    ([0, 1, 1, 1, 2, 3], [2, 3, 3, 1, 1, 2]),
]


def given(owners, lengths):
    generator = torch.Generator().manual_seed(len(owners))
    pairs = torch.randn(len(set(owners)), DIM, generator=generator)
    texts = torch.randn(len(owners), WORDS, DIM, generator=generator)
    mask = torch.arange(WORDS)[None] < torch.tensor(lengths, dtype=torch.int64)[:, None]
    return pairs, texts, mask, torch.tensor(owners, dtype=torch.int64)


def norm(x, module):
    scaled = (x - x.mean()) / (x.var(unbiased=False) + module.eps).sqrt()
    return scaled * module.weight.double() + module.bias.double()


def linear(x, module):
    bias = 0 if module.bias is None else module.bias.double()
    return module.weight.double() @ x + bias


def literal_attention(module, pair, rows):
    """One pair over its text vectors, head by head; a module without weights passes them on."""
    use = {n: (lambda x, m=m: linear(x, m) if list(m.parameters()) else x)
           for n, m in (("q", module.query), ("k", module.key), ("v", module.value))}  # fmt: skip
    said = []
    for head in range(HEADS):
        part = slice(head * DIM // HEADS, (head + 1) * DIM // HEADS)
        query = use["q"](pair)[part]
        logits = [float(query @ use["k"](r)[part]) / math.sqrt(DIM / HEADS) for r in rows]
        if module.uniform:
            logits = [0.0] * len(rows)
        total = sum(math.exp(x) for x in logits)
        said.append(sum(math.exp(x) / total * use["v"](r)[part] for x, r in zip(logits, rows)))
    return torch.cat(said)


def literal(kind, module, pairs, texts, mask, owners):
    results = []
    for i, pair in enumerate(pairs.double()):
        rows = [
            texts[e, w].double()
            for e in range(len(owners))
            for w in range(WORDS)
            if owners[e] == i and mask[e, w]
        ]
        if kind != "layer":
            results.append(literal_attention(module, pair, rows))
            continue
        said = literal_attention(module.attention, pair, rows)
        x = norm(pair + linear(said, module.out), module.norm1)
        inner = linear(x, module.ffn[0]).clamp(min=0)
        results.append(norm(x + linear(inner, module.ffn[3]), module.norm2))
    return torch.stack(results) if results else torch.zeros(0, DIM, dtype=torch.float64)


@pytest.mark.parametrize("owners, lengths", SETS)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_against_a_loop(kind, owners, lengths):
    module, inputs = attention(kind), given(owners, lengths)
    if kind == "layer":  # norms that do something
        for name in ("norm1", "norm2"):
            torch.nn.init.normal_(getattr(module, name).weight)
            torch.nn.init.normal_(getattr(module, name).bias)
    expected = literal(kind, module, *inputs)
    torch.testing.assert_close(module(*inputs).double(), expected, atol=1e-5, rtol=1e-5)


def test_the_layer_has_all_of_its_projections_and_all_learn():
    module, inputs = attention("layer"), given(*SETS[-1])
    names = {n.rsplit(".", 1)[0] for n, _ in module.named_parameters()}
    parts = {"attention.query", "attention.key", "attention.value", "out", "norm1", "norm2"}
    assert names == parts | {"ffn.0", "ffn.3"}
    module(*inputs).square().sum().backward()
    zero = [n for n, p in module.named_parameters() if not p.grad.abs().sum() > 0]
    assert not zero


@pytest.mark.parametrize("kind, count", [("mean", 0), ("fixed", 0), ("learnt", 3), ("layer", 15)])
def test_number_of_weights(kind, count):
    """Query with bias, key without; the layer: value and output, two norms, two-layer network."""
    assert len(list(attention(kind).parameters())) == count


def test_the_layer_drops_in_training_alone():
    module, inputs = attention("layer", dropout=0.5), given(*SETS[-1])
    assert torch.equal(module(*inputs), module(*inputs))
    module.train()
    assert not torch.equal(module(*inputs), module(*inputs))


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_do_not_see_each_others_text(kind):
    module, (pairs, texts, mask, owners) = attention(kind), given(*SETS[-1])
    before = module(pairs, texts, mask, owners)
    texts[owners == 1] += 1
    after = module(pairs, texts, mask, owners)
    changed = (before != after).any(dim=1)
    assert changed.tolist() == [False, True, False, False]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [1e4, -1e4])
def test_large_vectors_stay_finite(kind, value):
    module, (_, texts, mask, owners) = attention(kind), given([0, 0], [3, 2])
    pairs = torch.full((1, DIM), value, requires_grad=True)
    said = module(pairs, texts, mask, owners)
    assert torch.isfinite(said).all()
    if kind != "mean":  # which does not look at the pair
        said.sum().backward()
        assert torch.isfinite(pairs.grad).all()


@pytest.mark.parametrize(
    "kind, options, message",
    [
        ("soft", {}, "CROSS_ATTENTION must be one of"),
        ("layer", {"num_heads": 3}, "HIDDEN_DIM 8 is not a multiple of NUM_HEADS 3"),
    ],
)
def test_wrong_options_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        attention(kind, **options)
