"""Fine-tuning on Stanford 40: blocks that are trained, mirrored photographs, choices, tables."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from hoi_d2.modeling.image_encoder import build_image_encoder
from tests.modeling.image_encoder.small_encoders import encoder_config
from tests.projects.stanford40_modules import stanford40_modules

_MODULES = ("drift", "fine_tuning", "photographs", "recogniser", "tables", "trained_blocks")
ACTIONS = tuple(f"act{i}" for i in range(40))


@pytest.fixture
def project(monkeypatch, tmp_path):
    with stanford40_modules(monkeypatch, tmp_path, actions=ACTIONS, names=_MODULES) as modules:
        yield SimpleNamespace(**modules)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_image_encoder(encoder_config("tf_efficientnet_lite0", 64, {})).eval()


@pytest.mark.parametrize(
    ("side", "filters", "stride"),
    [(7, 5, 1), (7, 3, 1), (6, 5, 1), (9, 5, 1), (8, 3, 2), (7, 5, 2)],
    ids=["pairs of cells", "3 x 3", "even side", "large map", "strided", "small and strided"],
)
def test_gradients_of_depthwise_filters(project, side, filters, stride):
    torch.manual_seed(0)
    inputs = torch.randn(3, 4, side, side, requires_grad=True)
    weight = torch.randn(4, 1, filters, filters, requires_grad=True)
    window = (stride, stride), (filters // 2, filters // 2)
    own = project.trained_blocks.Depthwise.apply(inputs, weight, *window)
    expected = F.conv2d(inputs, weight, None, *window, groups=4)
    torch.testing.assert_close(own, expected)
    factors = torch.randn_like(own)
    for one, other in zip(
        torch.autograd.grad((own * factors).sum(), (inputs, weight)),
        torch.autograd.grad((expected * factors).sum(), (inputs, weight)),
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("blocks", [1, 4, 16])
def test_blocks_start_as_the_encoder(project, encoder, blocks):
    images = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected = encoder(encoder.normalize(images))
        inputs = images
        if blocks < 16:
            tokens = encoder.tokens_before_last(encoder.normalize(images), masked_blocks=blocks + 1)
            inputs = tokens[:, 1:].transpose(1, 2).unflatten(2, encoder.grid)
    part = project.trained_blocks.TrainedBlocks(encoder, blocks)
    features = part(inputs)
    assert F.cosine_similarity(features, expected).min() > 0.99  # bfloat16
    features.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in part.parameters())
    assert all(p.grad is None for p in encoder.parameters())  # a copy
    assert not any(m.training for m in part.parts.modules())  # batch norm


def test_mirrored_photographs_are_shown_half_of_the_time(project):
    recogniser, seen = project.recogniser, []

    class Notes(torch.nn.Module):
        def forward(self, inputs):
            seen.append(inputs[:, 0])
            return inputs

    actions = torch.arange(40)
    features = torch.zeros(40, recogniser.FEATURES)
    variant = recogniser.Variant("random", "LSE-Sign", steps=10, batch=32)
    more = {"blocks": Notes(), "mirrored": features + 1}
    recogniser.train(variant, features, actions, seed=1, **more)
    assert {len(batch) for batch in seen} == {32}
    assert 0.4 < torch.cat(seen).mean() < 0.6
    assert not features.any()


def test_blocks_have_a_share_of_the_rate(project):
    recogniser = project.recogniser
    variant = recogniser.Variant("random", "LSE-Sign", steps=1)
    features, actions = torch.rand(40, recogniser.FEATURES), torch.arange(40)
    blocks = torch.nn.Linear(recogniser.FEATURES, recogniser.FEATURES, bias=False)
    first = blocks.weight.detach().clone()
    recogniser.train(variant, features, actions, seed=1, blocks=blocks, share=0.25)
    step = (blocks.weight - first).abs().max().item()  # of AdamW: the rate
    assert step == pytest.approx(0.25 * variant.rate, rel=0.01)


def test_share_then_steps_are_chosen_on_validation(project, monkeypatch, tmp_path):
    tuned = SimpleNamespace(gamma=20.0)
    study = SimpleNamespace(output=tmp_path, tuned=lambda *_: tuned)
    runs = project.fine_tuning.FineTuning(study)
    asked = []

    def scores(tuning, part, *, seed):
        asked.append((part, seed, tuning.steps))
        return {"mAP": -abs(tuning.share - 0.1) + (tuning.steps == 600)}

    monkeypatch.setattr(runs, "scores", scores)
    chosen = runs.chosen("5", "MiniLM", "last block")
    assert (chosen.share, chosen.steps, chosen.gamma) == (0.1, 600, 20.0)
    assert asked == [("val", 1, 200)] * 4 + [("val", 1, 600)]
    asked.clear()
    assert runs.chosen("5", "MiniLM", "nothing").steps == 600
    assert len(asked) == 2  # there is no share to choose


def test_inputs_of_every_part_of_the_encoder(project, encoder, tmp_path):
    images = torch.randint(0, 255, (4, 3, 64, 64), dtype=torch.uint8)
    blocks = project.photographs.BLOCKS
    with torch.no_grad():
        maps = [
            encoder.tokens_before_last(encoder.normalize(x), masked_blocks=blocks).half()
            for x in (images, images.flip(-1))
        ]
        features = [encoder(encoder.normalize(x)) for x in (images, images.flip(-1))]
    seen = project.photographs.Photographs(
        torch.arange(2), torch.arange(2), maps[0][2:], torch.zeros(2, 4)
    )
    study = SimpleNamespace(
        output=tmp_path,
        encoder=encoder,
        places={"train": torch.tensor([2, 3])},
        parts={"train": seen},
    )
    runs = project.fine_tuning.FineTuning(study)
    runs._images, runs._mirrored_maps = lambda _: images, lambda rows, _: maps[1][2:][rows]
    rows = torch.tensor([1])
    for number in (0, 1, 4, 16):
        for is_mirrored, name in enumerate(("", "tail_1")):
            found = runs.inputs("train", number, rows, mirrored=name)
            if number:
                with torch.no_grad():
                    found = project.trained_blocks.TrainedBlocks(encoder, number)(found)
            expected = features[is_mirrored][3:]
            assert F.cosine_similarity(found, expected).item() > 0.99


def test_drift(project):
    recogniser, drift = project.recogniser, project.drift
    variant = recogniser.Variant("random", "LSE-Sign")
    torch.manual_seed(0)
    model = recogniser.Recogniser(variant, variant.config())
    features, actions = torch.rand(80, recogniser.FEATURES), torch.arange(40).repeat(2)
    same = drift.drift(model, model, features, actions)
    assert same["encoder"] == same["layer"] == 0 and same["rows"] == pytest.approx(1)
    assert abs(same["own"]) < 0.2 and abs(same["likeness"]) < 0.2
    layer, twice = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    twice.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()})
    assert drift.moved(layer, twice) == pytest.approx(100)
    rows = torch.randn(6, 50)
    assert drift.likeness(3 * rows + 1, rows) > 0.9


def test_tables(project):
    def run(rows, trained, seed, value):
        moved = dict.fromkeys(("encoder", "layer", "rows", "own", "others", "likeness"), 0.5)
        test = {"mAP": value, "accuracy": 1.0, "few5": value + 10, "drift": moved}
        line = {"shots": "tail", "rows": rows, "trained": trained, "share": 1 / 30, "steps": 100}
        return {**line, "seed": seed, "test": test}

    runs = [
        run(rows, trained, seed, base + seed)
        for base, (rows, trained) in enumerate(
            [("random", "nothing"), ("random", "last block"), ("MiniLM", "nothing")]
        )
        for seed in (1, 2)
    ]
    tables = project.tables
    assert "| tail          | random | last block | 1/30" in tables.tuned_table(runs)
    gains = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in tables.gains_table(runs).splitlines()[2:]
    ]
    assert ["tail", "random", "last block", "+1.0, +1.0", "-"] in gains
    assert ["tail, few5", "MiniLM", "nothing", "-", "+2.0, +2.0"] in gains
    assert "| 0.5 % " in tables.drift_table(runs)


def test_a_model_is_trained_once(project, encoder, monkeypatch, tmp_path):
    fine_tuning, actions = project.fine_tuning, torch.arange(40)
    features = torch.rand(40, project.recogniser.FEATURES)
    study = SimpleNamespace(
        output=tmp_path,
        encoder=encoder,
        parts={"train": SimpleNamespace(actions=actions)},
        chosen=lambda shots, seed: torch.arange(40),
    )
    runs = fine_tuning.FineTuning(study)
    monkeypatch.setattr(runs, "inputs", lambda *_, **__: features.clone())
    tuning = fine_tuning.Tuning("5", "random", "nothing", gamma=20.0, steps=3)
    first = runs.model(tuning, seed=1)
    monkeypatch.setattr(fine_tuning, "train", None)
    second = runs.model(tuning, seed=1)
    assert not second.training
    torch.testing.assert_close(first.head(features), second.head(features))
