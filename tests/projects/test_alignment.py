"""Which loss reaches which part of RmLR: the table of projects/alignment/gradients.py."""

import sys
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

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
    text = gradients.as_markdown({"g": {VERB: 0.5, SENTENCE: 0.0}})
    assert text.splitlines()[-1].split("|")[1:-1] == [" g      ", " 0.5         ", " -" + " " * 25]
