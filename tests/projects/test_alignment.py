"""projects/alignment: which loss reaches which part of RmLR, and what its runs are made of."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image

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


_MODULES = (
    "figures",
    "layouts",
    "run",
    "study",
    "tables",
    "text",
    "training",
    "variants",
    "report",
)


@pytest.fixture
def project(monkeypatch):
    monkeypatch.setattr(linguistic_knowledge, "encode_sentences", lambda s, **_: encoded(s))
    monkeypatch.setattr(sys, "path", [str(_PROJECT), *sys.path])
    for name in _MODULES:
        sys.modules.pop(name, None)
    import run

    yield SimpleNamespace(
        **{name: sys.modules[name] for name in _MODULES if name != "run"}, run=run
    )
    for name in _MODULES:
        sys.modules.pop(name, None)


VARIANTS = [  # arguments, ENABLED, weights, attention, IRM_VECTORS, FEEDS_IRM
    ({"level": "none"}, False, None, None, None, None),
    ({"level": "layers"}, True, (0, 0), "fixed", "input", True),
    ({}, True, (0.3, 0.3), "fixed", "output", False),
    ({"level": "word", "weight": 1.0}, True, (0, 1), "fixed", "output", False),
    ({"level": "cls", "attention": "mean"}, True, (0.3, 0), "mean", "output", False),
    ({"attention": "layer", "place": "output+input"}, True, (0.3, 0.3), "layer", "output", True),
    ({"place": "input"}, True, (0.3, 0.3), "fixed", "input", True),
    ({"place": "beside"}, True, (0.3, 0.3), "fixed", "input", False),
]


@pytest.mark.parametrize("arguments, enabled, weights, attention, vectors, feeds", VARIANTS)
def test_config_of_a_variant(project, arguments, enabled, weights, attention, vectors, feeds):
    cfg = project.variants.Variant(**arguments, steps=7).config()
    node = cfg.MODEL.RMLR.CML
    assert (node.ENABLED, cfg.SOLVER.MAX_ITER) == (enabled, 7)
    if not enabled:
        return
    assert (node.SENTENCE_IRM_WEIGHT, node.WORD_IRM_WEIGHT) == weights
    found = (node.CROSS_ATTENTION, node.IRM_VECTORS, node.FEEDS_IRM)
    assert found == (attention, vectors, feeds)
    assert cfg.MODEL.LANGUAGE.POOLING == ("cls" if arguments.get("level") == "cls" else "mean")


def test_variants_of_the_study_have_names_of_their_own(project):
    run = project.run
    variants = (*run.LEVELS, *run.CHOICES)
    assert len({v.name for v in variants}) == len(variants)
    labels = {project.tables.label(vars(v)) for v in variants}
    assert len(labels) == len(variants)


@pytest.mark.parametrize(
    "schedule, expected",
    [("constant", [1, 1, 1]), ("falling", [1, 0.5, 0.25])],
)
def test_factor_of_a_schedule(project, schedule, expected):
    variant = project.variants.Variant(schedule=schedule, steps=4)
    assert [variant.factor(step) for step in (0, 2, 3)] == expected


class _TwoLosses(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.verb, self.text = (torch.nn.Parameter(torch.zeros(())) for _ in range(2))

    def forward(self, batch):
        return {"loss_verb": self.verb * 1.0, "loss_align_sentence_irm": self.text * 1.0}


def test_the_schedule_is_of_the_alignment_alone(project, monkeypatch):
    model, training = _TwoLosses(), project.training
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3)
    monkeypatch.setattr(training, "build_optimizer", lambda cfg, model: sgd)
    constant = torch.optim.lr_scheduler.LambdaLR(sgd, lambda step: 1.0)
    monkeypatch.setattr(training, "build_lr_scheduler", lambda cfg, optimizer: constant)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)
    variant = project.variants.Variant(schedule="falling", steps=4)
    losses = list(training._steps(model, variant, iter([[]] * 4)))
    assert model.verb.item() == pytest.approx(-4e-3)
    assert model.text.item() == pytest.approx(-1e-3 * (1 + 0.75 + 0.5 + 0.25))
    assert losses[1]["loss_align_sentence_irm"].item() == pytest.approx(-1e-3)


@pytest.mark.parametrize("images, share, expected", [(0, 1.0, 0), (10, 1.0, 10), (10, 0.3, 3)])
def test_a_share_of_the_images_is_always_the_same(project, images, share, expected):
    given = project.layouts.Layouts(list(range(images)), None)
    found = given.part(share).inputs
    assert len(set(found)) == expected and found == sorted(found)
    assert found == given.part(share).inputs and set(found) <= set(given.inputs)


def test_variants_start_from_the_weights_of_none(project):
    none = project.training.build(project.variants.NONE, 3).state_dict()
    found = project.training.build(project.variants.Variant(), 3).state_dict()
    assert len(found) > len(none) > 0
    assert all(torch.equal(found[name], value) for name, value in none.items())


@pytest.mark.parametrize("text", ["centred", "factor"])
def test_other_texts(project, text):
    variant = project.variants.Variant("sentence", text=text)
    model = project.training.build(variant, 1)
    project.training.prepare(model, variant)
    said = model.alignment.knowledge.sentence[:, 0]
    assert said.shape == (600, 128) and said.isfinite().all()
    plain = encoded(model.alignment.knowledge.sentences).sentence
    assert said.shape != plain.shape or not torch.allclose(said, plain)
    project.training.prepare(model, replace(variant, text="MiniLM"))  # is loaded: stays
    with pytest.raises(ValueError, match="for the level sentence, got both"):
        project.training.prepare(model, replace(variant, level="both"))


def test_text_logits_equal_a_loop(project):
    variant = project.variants.Variant("sentence")
    model = project.training.build(variant, 1).eval()
    project.training.prepare(model, variant)
    knowledge, width = model.alignment.knowledge, 128
    kinds, overall = torch.tensor([0, 3, 79]), torch.randn(3, width)
    looked = SimpleNamespace(kinds=kinds, overall=overall)
    with torch.no_grad():
        found = project.text.text_logits(model.alignment, looked)
        seen = linguistic_knowledge.normalised(model.alignment.projection(overall))
    for pair, kind in enumerate(kinds.tolist()):
        verbs = [v for v in range(117) if knowledge.table[kind, v] >= 0]
        away = [
            (seen[pair] - knowledge.sentence[knowledge.table[kind, v], 0]).abs().mean().item()
            for v in verbs
        ]
        expected = torch.zeros(117)
        expected[verbs] = torch.tensor([sum(away) / len(away) - a for a in away])
        torch.testing.assert_close(found[pair], expected, atol=1e-5, rtol=0)


def test_weight_of_the_text_in_testing(project, monkeypatch):
    text, variant = project.text, project.variants.Variant("sentence")
    model = project.training.build(variant, 1)
    looked = SimpleNamespace(logits=torch.tensor([[1.0, 2.0]]))
    monkeypatch.setattr(text, "look", lambda model, layouts, vectors: [looked, looked])
    monkeypatch.setattr(text, "text_logits", lambda alignment, looked: torch.tensor([[0.5, 0]]))
    monkeypatch.setattr(text, "results", lambda looked, hoi_of, logits: logits.tolist())
    monkeypatch.setattr(text, "means", lambda found, layouts, unseen: {unseen: found})
    found = text.score_with_text(model, None, "uv", (0.0, 4.0))
    assert found == {0.0: {"uv": [[[1, 2]]] * 2}, 4.0: {"uv": [[[3, 2]]] * 2}}
    assert not model.training


def test_unseen_classes_choose_nothing(project):
    Run, none = project.study.Run, project.variants.NONE
    assert [Run(none, 1).chosen_by, Run(none, 1, "uv").chosen_by] == ["all", "seen"]


def test_a_run_is_made_once_and_the_best_weight_is_chosen(project, tmp_path, monkeypatch):
    Study, Variant = project.study.Study, project.variants.Variant

    def make(self, run, test):
        file = self._file(run)
        file.parent.mkdir(parents=True, exist_ok=True)
        assert not file.exists()
        figures = {"val": {"all": -abs(run.variant.weight - 0.3)}} | ({"test": {}} if test else {})
        file.write_text(json.dumps(figures))
        return figures

    monkeypatch.setattr(Study, "make", make)
    study = Study(tmp_path, tmp_path, jobs=1)
    study.data[""] = {}
    assert study.rows([], test=True) == []
    none = project.variants.NONE
    assert study.tuned([none, Variant("word")]) == [none, Variant("word", weight=0.3)]
    assert study.tuned([Variant("word")]) == [Variant("word", weight=0.3)]
    assert not study._is_complete(project.study.Run(none, 1), test=True)


def _row(level, seed, score, **more):
    variant = {"attention": "fixed", "place": "output", "text": "MiniLM", "schedule": "constant"}
    columns = ("all", "rare", "few1", "few5", "few10", "unseen", "seen")
    scores = dict.fromkeys(columns, score)
    row = {"level": level, "weight": 0.3, "seed": seed, "split": "uv", "steps": 8, "share": 1.0}
    return {**variant, **row, "val": scores, "test": scores, **more}


def _cells(table):
    return [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()]


def test_tables_and_plot(project, tmp_path):
    tables = project.tables
    runs = [_row("none", 1, 40.0), _row("none", 2, 42.0)]
    learnt = {"own": 1.0, "own_of_object": 2.0, "sentence_distance": 0.5, "sentence_moved": 0.25}
    more = {"sentences": learnt, "test_text": {"unseen": 1.0, "seen": 2.0, "all": 3.0}}
    runs += [_row("both", 1, 41.0, **more), _row("both", 2, 41.0, **more)]
    closed = _cells(tables.closed_table(runs, runs))
    assert closed[2][:3] == ["none", "-", "41.00 ± 1.41"] and closed[2][-1] == "-"
    assert closed[3][:3] == ["both", "0.3", "41.00 ± 0.00"] and closed[3][-1] == "+0.00 ± 1.41"
    assert _cells(tables.weights_table(runs[2:]))[2] == ["both", "41.00"]
    assert _cells(tables.learnt_table(runs))[2][:2] == ["both", "1.00 ± 0.00"]
    names = [row[1] for row in _cells(tables.unseen_table(runs))[2:]]
    assert names == ["none", "both", "both, text asked"]
    lengths = _cells(tables.lengths_table(runs, {(8, 1.0): "short"}))
    assert [row[0] for row in lengths[2:]] == ["short", "short"]
    assert lengths[3][-1] == "+0.00 ± 1.41"
    [*_, row] = _cells(tables.control_table(runs))[2:]
    assert row == ["both - none", "rare", "+0.00 ± 1.00", "+1.00, -1.00"]
    parts = dict.fromkeys(("weights", "unseen", "lengths", "control"), runs)
    results = {"levels": runs, "choices": [], **parts}
    tables.write_report(results, tmp_path, {(8, 1.0): "short"})
    page = (tmp_path / "README.md").read_text()
    assert "<!-- levels -->\n| variant" in page and "<!-- choices -->\n<!-- end" not in page
    project.figures.plot(results, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width > image.height > 100


@pytest.mark.parametrize("images, size, steps", [(0, 1, 0), (5, 2, 6), (4, 4, 3)])
def test_batches_are_epochs_in_the_order_of_the_seed(project, images, size, steps):
    layouts = project.layouts
    given = layouts.Layouts(list(range(images)), None)
    found = list(layouts.batches(given, size, steps, seed=3))
    assert found == list(layouts.batches(given, size, steps, seed=3))
    assert [len(b) for b in found] == [size] * steps
    flat = [i for batch in found for i in batch]
    assert all(flat.count(i) >= size * steps // images for i in range(images))


def test_groups_of_a_zero_shot_split(project):
    layouts = project.layouts
    assert [len(h) for h in layouts.groups().values()] == [138, 49, 125, 162]
    assert [len(h) for h in layouts.groups("rf_uc").values()] == [120, 480]


def test_distances_of_sentences(project):
    layouts, text = project.layouts, project.text
    hois = torch.from_numpy(layouts.VOCABULARY.hois)
    by_object = torch.nn.functional.one_hot(hois[:, 0], 80).float()
    found = text.sentence_distances(by_object)
    assert found["same object, other verb"] == 0
    assert found["same verb, other object"] == pytest.approx(found["neither"])
