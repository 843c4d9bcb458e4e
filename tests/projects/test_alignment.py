"""projects/alignment: which loss reaches which part of RmLR, and what its runs are made of."""

import sys
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.config.load import load_config
from hoi_d2.modeling.language import linguistic_knowledge
from tests.modeling.language.small_encoders import encoded
from tests.modeling.tiny import GivenDetections, model_input, tiny_config

_PROJECT = Path(__file__).parents[2] / "projects" / "alignment"
CML = "MODEL.RMLR.CML"
BOXES = [[5, 5, 30, 60], [10, 30, 60, 62], [40, 2, 70, 50]]
VERB, SENTENCE, WORD = "loss_verb", "loss_align_sentence_irm", "loss_align_word_irm"
SENTENCE_IRE, WORD_IRE = "loss_align_sentence_ire", "loss_align_word_ire"
L_M, L_A = {SENTENCE, WORD}, {SENTENCE_IRE, WORD_IRE}
ALWAYS = {
    "entity detector": set(),
    "g": {VERB} | L_M,
    "s": {VERB} | L_M,
    "IRE": {VERB} | L_M | L_A,
    "m": {VERB} | L_M | L_A,
    "self-attention of M": L_A,
    "predictor": {VERB},
}
LAYERS = {
    "cross-attention, sentence, L^m": {SENTENCE},
    "cross-attention, word, L^m": {WORD},
    "cross-attention, sentence, L^a": {SENTENCE_IRE},
    "cross-attention, word, L^a": {WORD_IRE},
}
# config -> part -> the losses that reach it
TABLES = [
    (
        ("input", True, "fixed"),
        {"self-attention of O": {VERB} | L_M, "IRM": {VERB}},
    ),
    (
        ("input", False, "fixed"),
        {"self-attention of O": L_M, "IRM": {VERB}},
    ),
    (
        ("output", True, "layer"),
        {"self-attention of O": {VERB} | L_M, "IRM": {VERB} | L_M, "projection of L^m": L_M}
        | LAYERS,
    ),
    (
        ("output", False, "layer"),
        {"IRM": {VERB} | L_M, "projection of L^m": L_M} | LAYERS,
    ),
]


@pytest.fixture
def gradients(monkeypatch):
    monkeypatch.setattr(linguistic_knowledge, "encode_sentences", lambda s, **_: encoded(s))
    monkeypatch.syspath_prepend(str(_PROJECT))
    import gradients

    yield gradients
    sys.modules.pop("gradients")


@pytest.mark.parametrize("choice, expected", TABLES)
def test_which_loss_reaches_which_part(gradients, choice, expected):
    vectors, feeds, attention = choice
    options = (f"{CML}.IRM_VECTORS", vectors, f"{CML}.FEEDS_IRM", feeds)
    torch.manual_seed(0)
    cfg = tiny_config("RmLR", f"{CML}.ENABLED", True, *options, f"{CML}.CROSS_ATTENTION", attention)
    model = build_model(cfg)
    given = GivenDetections(model.entity_detector, BOXES, (0.9, 0.8, 0.7), (0, 1, 0))
    model.entity_detector.detect = given
    batch = model_input()
    batch["hoi_instances"].gt_verbs[:, 76] = 1  # ride: has a sentence
    found = gradients.gradient_norms(model.train(), model.train()([batch]))
    reached = {part: {name for name, norm in of.items() if norm} for part, of in found.items()}
    assert reached == ALWAYS | expected


def test_the_table_is_printed(gradients):
    text = gradients.as_markdown({"g": {VERB: 0.5, SENTENCE: 0.0}}, {"g": 1234})
    header, *_, row = ([c.strip() for c in x.split("|")[1:-1]] for x in text.splitlines())
    assert header == ["part", "trained parameters", "pair loss", "L^m, sentence"]
    assert row == ["g", "1,234", "0.5", "-"]


def test_trained_parameters_of_a_part(gradients):
    cfg = tiny_config("RmLR")
    model = build_model(cfg)
    counts = gradients.trained_parameters(model)
    heads = model.interaction_heads
    assert counts["g"] == sum(p.numel() for p in heads.to_global.parameters())
    assert counts["entity detector"] == counts["self-attention of M"] == 0
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.fixture
def project(monkeypatch):
    monkeypatch.syspath_prepend(str(_PROJECT))
    import layouts
    import run
    import text

    yield run, layouts, text
    for name in ("layouts", "run", "text"):
        sys.modules.pop(name)


def test_every_variant_is_what_its_name_says(project):
    run, _, _ = project
    for name, options in run.variants().items():
        if not name.endswith(("none", "layers", "-0.3")):
            continue
        node = load_config(_PROJECT / "layout.yaml", options).MODEL.RMLR.CML
        weights = node.SENTENCE_IRM_WEIGHT, node.WORD_IRM_WEIGHT
        if name in ("none", "layers"):
            assert node.ENABLED == (name == "layers") and (weights == (0, 0) or name == "none")
            continue
        *level, place, weight = name.split("-")
        level, attention = level if len(level) == 2 else ("sentence", "mean")
        assert node.CROSS_ATTENTION == attention
        assert node.IRM_VECTORS == ("output" if "output" in place else "input")
        assert node.FEEDS_IRM == ("input" in place)
        assert weights == tuple(
            float(weight) * (level in (which, "both")) for which in ("sentence", "word")
        )


@pytest.mark.parametrize("images, size, steps", [(0, 1, 0), (5, 2, 6), (4, 4, 3)])
def test_batches_are_epochs_in_the_order_of_the_seed(project, images, size, steps):
    _, layouts, _ = project
    given = layouts.Layouts(list(range(images)), None)
    found = list(layouts.batches(given, size, steps, seed=3))
    assert found == list(layouts.batches(given, size, steps, seed=3))
    assert [len(b) for b in found] == [size] * steps
    flat = [i for batch in found for i in batch]
    assert all(flat.count(i) >= size * steps // images for i in range(images))


def test_groups_of_a_zero_shot_split(project):
    _, layouts, _ = project
    assert [len(h) for h in layouts.groups().values()] == [138, 49, 125, 162]
    assert [len(h) for h in layouts.groups("rf_uc").values()] == [120, 480]


def test_distances_of_sentences(project):
    _, layouts, text = project
    hois = torch.from_numpy(layouts.VOCABULARY.hois)
    by_object = torch.nn.functional.one_hot(hois[:, 0], 80).float()
    found = text.sentence_distances(by_object)
    assert found["same object, other verb"] == 0
    assert found["same verb, other object"] == pytest.approx(found["neither"])
