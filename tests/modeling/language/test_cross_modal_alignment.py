import math

import pytest
import torch

from hoi_d2.modeling.language import linguistic_knowledge
from hoi_d2.modeling.language.cross_modal_alignment import CrossModalAlignment
from hoi_d2.modeling.language.linguistic_knowledge import (
    LinguisticKnowledge,
    isometry,
    normalised,
)
from hoi_d2.modeling.roi_heads.pair_matching import PairMatches
from tests.modeling.language.small_encoders import encoded

SENTENCES = ["hold a cup", "fill a cup", "hold a dog", "walk a dog fast"]
VERBS = 4
TABLE = torch.tensor([[0, 1, -1, -1], [2, -1, 3, -1]])  # two objects
DIM, HEADS = 8, 2
TERMS = {(level, source): 1.0 for level in ("sentence", "word") for source in ("irm", "ire")}


@pytest.fixture(autouse=True)
def small_language(monkeypatch):
    monkeypatch.setattr(linguistic_knowledge, "encode_sentences", lambda s, **_: encoded(s))


def knowledge(table=TABLE, sentences=SENTENCES):
    return LinguisticKnowledge(sentences=sentences, table=table, dim=DIM, encoder={})


def alignment(*, attention="fixed", weights=TERMS):
    torch.manual_seed(0)
    return CrossModalAlignment(
        knowledge=knowledge(), attention=attention, num_heads=HEADS, weights=weights
    )


def matches(pairs=(), verbs=(), objects=(), count=5):
    """`pairs`: (candidate, annotation); `verbs` and `objects` of each annotation."""
    pairs = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    gt = torch.zeros(len(verbs), VERBS)
    for row, of_pair in zip(gt, verbs):
        row[list(of_pair)] = 1
    return PairMatches(
        count, pairs[:, 0], pairs[:, 1], gt, torch.tensor(objects, dtype=torch.int64)
    )


CASES = [
    {},
    {"verbs": [[0]], "objects": [0]},  # annotated, but no candidate is like it
    {"pairs": [(0, 0)], "verbs": [[]], "objects": [1]},  # an annotated pair without verbs
    {"pairs": [(0, 0)], "verbs": [[3]], "objects": [1]},  # a combination without a sentence
    {"pairs": [(2, 0)], "verbs": [[0, 1]], "objects": [0]},
    {
        "pairs": [(0, 0), (0, 1), (3, 1), (4, 2), (4, 1), (0, 3)],
        "verbs": [[0, 1, 3], [0, 2], [2], [0, 1]],  # annotations 0 and 3 say the same
        "objects": [0, 1, 1, 0],
    },
]


def literal_sets(case):
    """Candidate -> its sentences, one match after the other."""
    sets = {}
    for candidate, annotation in case.get("pairs", ()):
        for verb in case["verbs"][annotation]:
            sentence = int(TABLE[case["objects"][annotation], verb])
            if sentence >= 0:
                sets.setdefault(candidate, set()).add(sentence)
    return sets


@pytest.mark.parametrize("case", CASES)
def test_the_sentences_of_each_candidate(case):
    candidates, owners, sentences = knowledge().sentences_of(matches(**case))
    found = {}
    for owner, sentence in zip(owners.tolist(), sentences.tolist()):
        found.setdefault(int(candidates[owner]), []).append(sentence)
    assert {c: sorted(s) for c, s in literal_sets(case).items()} == found


def literal_terms(case, vectors, texts):
    """Each term pair by pair, sentence by sentence and head by head, in float64."""
    sums = dict.fromkeys(TERMS, 0.0)
    sets = literal_sets(case)
    for candidate, sentences in sets.items():
        for level, source in TERMS:
            seen = plain_norm(vectors[source][candidate].double())
            rows = [
                row.double()
                for s in sorted(sentences)
                for row in (
                    texts.sentence[s] if level == "sentence" else texts.words[s][texts.word_mask[s]]
                )
            ]
            said = []
            for head in range(HEADS):
                part = slice(head * DIM // HEADS, (head + 1) * DIM // HEADS)
                logits = [float(seen[part] @ r[part]) / math.sqrt(DIM / HEADS) for r in rows]
                shares = torch.tensor(logits, dtype=torch.float64).softmax(0)
                said.append(sum(p * r[part] for p, r in zip(shares, rows)))
            distance = (seen - plain_norm(torch.cat(said))).abs().mean()
            sums[level, source] += float(distance) / len(sets)
    return sums


def plain_norm(x):
    return (x - x.mean()) / x.var(unbiased=False).sqrt()


@pytest.mark.parametrize("case", CASES)
def test_every_term_against_a_loop(case):
    module = alignment()
    generator = torch.Generator().manual_seed(1)
    vectors = {s: torch.randn(5, DIM, generator=generator) for s in ("irm", "ire")}
    losses = module(vectors, matches(**case))
    assert set(losses) == {f"loss_align_{level}_{source}" for level, source in TERMS}
    for (level, source), expected in literal_terms(case, vectors, module.knowledge).items():
        assert losses[f"loss_align_{level}_{source}"].item() == pytest.approx(expected, abs=1e-5)


def test_a_batch_is_the_mean_over_its_pairs():
    """Candidates 0-1 and 2-4 as two images give what they give together."""
    module, vectors = alignment(), {s: torch.randn(5, DIM) for s in ("irm", "ire")}
    case = CASES[-1]
    together = module(vectors, matches(**case))
    parts = []
    for keep in ({0, 1}, {2, 3, 4}):
        part = case | {"pairs": [p for p in case["pairs"] if p[0] in keep]}
        parts.append((module(vectors, matches(**part)), len(literal_sets(part))))
    total = sum(n for _, n in parts)
    for name, loss in together.items():
        expected = sum(p[name] * n for p, n in parts) / total
        torch.testing.assert_close(loss, expected)


def only(level, source, **options):
    return alignment(weights={(level, source): 1.0}, **options)


@pytest.mark.parametrize("level, source", list(TERMS))
@pytest.mark.parametrize("scale", [0.01, 0.1, 10.0, 1e3])
def test_shrinking_wins_nothing(level, source, scale):
    """The loss does not know how long a vector is, and its gradient never says "shorter"."""
    module, vector = only(level, source), torch.randn(5, DIM)
    case = matches(**CASES[-1])
    (loss,) = module({source: vector}, case).values()
    scaled = (scale * vector).requires_grad_()
    (other,) = module({source: scaled}, case).values()
    torch.testing.assert_close(other, loss, rtol=1e-4, atol=1e-5)
    other.backward()
    along = (scaled.grad * scaled).sum(dim=1)
    assert (along.abs() <= 1e-4 * scaled.grad.norm(dim=1) * scaled.norm(dim=1) + 1e-9).all()


def trained(module, vectors, case, steps=150):
    """The loss that Adam comes to when it may choose the visual vectors themselves."""
    parameters = [*vectors, *module.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.1)
    for _ in range(steps):
        stacked = torch.stack([vectors[i % len(vectors)] for i in range(5)])
        (loss,) = module(dict.fromkeys(("irm", "ire"), stacked), case).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_one_vector_for_all_pairs_wins_nothing():
    """Texts stay apart: a visual vector that is the same everywhere keeps half their distance."""
    case = matches(pairs=[(0, 0), (1, 1)], verbs=[[0], [2]], objects=[0, 1])
    module = only("sentence", "irm")
    texts = module.knowledge.load().sentence[:, 0]
    bound = (texts[0] - texts[3]).abs().mean().item() / 2
    torch.manual_seed(0)
    assert trained(module, [torch.randn(DIM, requires_grad=True)], case) >= bound - 1e-4 > 0.1
    own = [torch.randn(DIM, requires_grad=True) for _ in range(5)]
    assert trained(module, own, case) < bound / 5  # vectors that tell them apart do win


def test_the_text_has_no_gradient_and_is_not_saved():
    module = alignment()
    assert not list(module.parameters())
    assert not module.state_dict()
    vectors = {s: torch.randn(5, DIM, requires_grad=True) for s in ("irm", "ire")}
    sum(module(vectors, matches(**CASES[-1])).values()).backward()
    assert all(v.grad.abs().sum() > 0 for v in vectors.values())
    assert not any(b.requires_grad for b in module.buffers())


def test_learnt_attention_learns_where_to_look_and_moves_no_text():
    module = alignment(attention="learnt")
    vectors = {s: torch.randn(5, DIM) for s in ("irm", "ire")}
    sum(module(vectors, matches(**CASES[-1])).values()).backward()
    gradients = {n: p.grad for n, p in module.named_parameters()}
    assert len(gradients) == 4 * 3  # query with bias and key, for each term
    assert all(torch.isfinite(g).all() for g in gradients.values())
    assert all(g.abs().sum() > 0 for n, g in gradients.items() if "word" in n)
    before = module.knowledge.words.clone()
    torch.optim.SGD(module.parameters(), lr=1.0).step()
    assert torch.equal(module.knowledge.words, before)


def test_weights_scale_and_switch_off():
    vectors, case = {s: torch.randn(5, DIM) for s in ("irm", "ire")}, matches(**CASES[-1])
    full = alignment()(vectors, case)
    some = alignment(weights={("word", "irm"): 0.5, ("sentence", "ire"): 0.0})(vectors, case)
    assert list(some) == ["loss_align_word_irm"]
    torch.testing.assert_close(some["loss_align_word_irm"], 0.5 * full["loss_align_word_irm"])


@pytest.mark.parametrize("in_dim, out_dim", [(6, 6), (6, 16), (16, 6)])
def test_the_map_into_the_space(in_dim, out_dim):
    to_space = isometry(in_dim, out_dim)
    assert torch.equal(to_space, isometry(in_dim, out_dim))
    gram = to_space @ to_space.T if in_dim <= out_dim else to_space.T @ to_space
    torch.testing.assert_close(gram, torch.eye(min(in_dim, out_dim)), atol=1e-6, rtol=0)


def test_normalised():
    x = torch.randn(4, 32) * torch.tensor([1e-3, 1.0, 10.0, 1e4])[:, None] + 3
    y = normalised(x)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(y.var(dim=1, unbiased=False), torch.ones(4), atol=1e-2, rtol=0)


@pytest.mark.parametrize("level, source", list(TERMS))
def test_the_gradient_stops_at_the_text(level, source):
    """As if the counterpart were a constant: the vector cannot choose the text that is near."""
    module, case = only(level, source), CASES[-1]
    vectors = torch.randn(5, DIM, requires_grad=True)
    module({source: vectors}, matches(**case))[f"loss_align_{level}_{source}"].backward()
    texts = module.knowledge.load()
    candidates, owners, sentences = texts.sentences_of(matches(**case))
    same = vectors.detach().clone().requires_grad_()
    seen = normalised(same[candidates])
    said = module._counterpart(level, source, seen, owners, sentences).detach()
    (seen - said).abs().mean(dim=1).mean().backward()
    torch.testing.assert_close(vectors.grad, same.grad)


@pytest.mark.parametrize("attention", ["fixed", "learnt", "layer"])
def test_autocast_changes_nothing(attention):
    module, case = alignment(attention=attention).eval(), CASES[-1]
    vectors = {s: torch.randn(5, DIM) for s in ("irm", "ire")}
    expected = module(vectors, matches(**case))
    with torch.autocast("cpu", torch.bfloat16):
        found = module(vectors, matches(**case))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("scale", [1.0, 3e4])
@pytest.mark.parametrize("attention", ["fixed", "learnt", "layer"])
def test_half_precision_vectors_are_judged_in_single(attention, scale):
    module, case = alignment(attention=attention).eval(), CASES[-1]
    vectors = {s: (scale * torch.rand(5, DIM)).half() for s in ("irm", "ire")}
    expected = module({s: v.float() for s, v in vectors.items()}, matches(**case))
    with torch.autocast("cpu", torch.float16):
        found = module(vectors, matches(**case))
    for name, loss in found.items():
        assert loss.dtype == torch.float32 and torch.isfinite(loss)
        torch.testing.assert_close(loss, expected[name])


@pytest.mark.parametrize("case", CASES[:4])
def test_the_layer_without_a_sentence(case):
    module = alignment(attention="layer")
    vectors = {s: torch.randn(5, DIM, requires_grad=True) for s in ("irm", "ire")}
    losses = module(vectors, matches(**case))
    assert list(losses.values()) == [0.0] * len(TERMS)
    sum(losses.values()).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in module.parameters())


def test_the_layer_moves_no_text_and_has_one_of_its_own_for_each_term():
    module = alignment(attention="layer")
    vectors = {s: torch.randn(5, DIM, requires_grad=True) for s in ("irm", "ire")}
    sum(module(vectors, matches(**CASES[-1])).values()).backward()
    assert set(module.attentions) == {f"{level}_{source}" for level, source in TERMS}
    missing = [n for n, p in module.named_parameters() if p.grad is None]
    assert not missing
    before = module.knowledge.words.clone()
    torch.optim.SGD(module.parameters(), lr=1.0).step()
    assert torch.equal(module.knowledge.words, before)


def test_the_layer_can_lower_the_loss_without_any_text():
    """Its residual hands on the vector that is judged: the reason why it is not the default."""
    module = alignment(attention="layer", weights={("sentence", "irm"): 1.0}).eval()
    layer = module.attentions["sentence_irm"]
    case, vectors = matches(**CASES[-1]), {"irm": torch.randn(5, DIM), "ire": None}
    assert module(vectors, case)["loss_align_sentence_irm"] > 0.1
    for linear in (layer.out, layer.ffn[3]):
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    assert module(vectors, case)["loss_align_sentence_irm"] < 1e-4
