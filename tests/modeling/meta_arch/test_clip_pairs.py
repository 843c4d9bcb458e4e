"""CLIP-Pairs: DEFR-Det before training; what the loss sees; what is trained and what is not."""

from __future__ import annotations

import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model

from hoi_d2.checkpoint.checkpointer import HOICheckpointer, weights_hash
from hoi_d2.config.load import ConfigError
from hoi_d2.data.vocabulary import hico_det_vocabulary
from hoi_d2.modeling.losses.verb_focal import verb_focal_loss
from hoi_d2.protocols import has_capability
from tests.modeling.meta_arch.test_defr_det import (
    BICYCLE,
    BOXES,
    CLASSES,
    PERSON,
    SCORES,
    as_dict,
    config,
    defr_det,
)
from tests.modeling.tiny import GivenDetections, model_input, tiny_config

HICO = hico_det_vocabulary()
RIDE, BUS = HICO.verbs.index("ride"), HICO.objects.index("bus")


def clip_pairs(*options, kind="vit", boxes=BOXES, scores=SCORES, classes=CLASSES):
    """Its tower and rows are those of `defr_det(kind=kind)`."""
    model = build_model(config("CLIPPairs", *options, kind=kind)).eval()
    weights = defr_det(kind=kind).state_dict()
    model.load_state_dict(weights, strict=False)
    model.classifier.scale = 3.0  # far from where sigmoid is 0 or 1
    model.entity_detector.detect = GivenDetections(model.entity_detector, boxes, scores, classes)
    return model


@pytest.mark.parametrize("kind", ["vit", "resnet"])
@pytest.mark.parametrize("adapter", [0, 8])
@torch.no_grad()
def test_untrained_it_is_defr_det(kind, adapter):
    plain = defr_det(kind=kind)
    plain.classifier.scale = 3.0
    model = clip_pairs("MODEL.CLIP_PAIRS.ADAPTER_DIM", adapter, kind=kind)
    left, right = (as_dict(m([model_input()])[0]["hoi_instances"]) for m in (model, plain))
    assert left and left == right


def test_what_it_can_do():
    model = clip_pairs()
    assert has_capability(model, "finds_interactions")
    assert not has_capability(model, "needs_no_training")
    assert not has_capability(model, "takes_own_classes")
    assert model.random_weights() == ["image_encoder", "classifier", "entity_detector", "adapter"]
    assert clip_pairs("MODEL.CLIP_PAIRS.ADAPTER_DIM", 0).random_weights()[-1] == "entity_detector"


@pytest.mark.parametrize(
    ("adapter", "rows", "trained"),
    [
        (8, True, {"adapter", "classifier"}),
        (8, False, {"adapter"}),
        (0, True, {"classifier"}),
    ],
)
@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_adapter_and_rows_learn_and_the_tower_does_not(kind, adapter, rows, trained):
    options = ("MODEL.CLIP_PAIRS.ADAPTER_DIM", adapter, "MODEL.CLIP_PAIRS.TRAIN_ROWS", rows)
    model = clip_pairs(*options, kind=kind).train()
    if adapter:  # at zero, no gradient passes to what is before it
        torch.nn.init.normal_(model.adapter.up.weight)
    before = {p: weights_hash(model.state_dict(), p) for p in model.frozen_prefixes}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model([model_input()])["loss_verb"].backward()
    optimizer.step()
    moved = {
        n.partition(".")[0]
        for n, p in model.named_parameters()
        if p.grad is not None and p.grad.any()
    }
    assert moved == trained
    assert {n.partition(".")[0] for n, p in model.named_parameters() if p.requires_grad} == trained
    assert before == {p: weights_hash(model.state_dict(), p) for p in model.frozen_prefixes}
    assert set(before) == {"entity_detector", "image_encoder"}
    assert not any(m.training for m in model.image_encoder.modules())
    assert not any(m.training for m in model.entity_detector.modules())
    assert model.adapter.training


def slow_loss(model, x):
    """Pair by pair and verb by verb; annotated is the pair of person 0 and bicycle 1."""
    pairs = model.pair_generator(model.entity_detector([x]).instances)
    logits = model.class_logits(model.masked_cls(pairs, [x]))
    total, positives = 0.0, 0
    order = [0, 2, 1]  # kept: persons first
    for row, (human, target) in enumerate(pairs.pair_indices[0].tolist()):
        a, b = order[human], order[target]
        annotated = (a, b) == (0, 1)
        for verb in HICO.valid_verbs[CLASSES[b]].nonzero()[0]:
            hoi = HICO.hoi_of[CLASSES[b], verb]
            prior = torch.tensor([[SCORES[a] * SCORES[b]]])
            y = x["hoi_instances"].gt_verbs[0, verb] * annotated
            positives += int(y)
            logit = logits[row, hoi].reshape(1, 1) / model.temperature
            total += verb_focal_loss(logit, prior, y.reshape(1, 1), alpha=0.5, gamma=0.2)
    return total / max(positives, 1)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@torch.no_grad()
def test_loss_is_that_of_each_pair_and_verb(temperature):
    model = clip_pairs("MODEL.DEFR_DET.TEMPERATURE", temperature).train()
    x = model_input()
    loss, right = model([x])["loss_verb"], slow_loss(model, x)
    assert x["hoi_instances"].gt_verbs[0].any() and right > 0
    torch.testing.assert_close(loss, right)
    assert model.reached_pairs.take() == (1, 1)


@pytest.mark.parametrize("loss", ["VerbFocalLoss", "VerbLSESign"])
@pytest.mark.parametrize(
    "boxes, scores, classes",
    [
        ([], [], []),
        (BOXES[:1], [0.9], [PERSON]),  # alone
        (BOXES[:2], [0.9, 0.8], [BICYCLE, BICYCLE]),  # nobody
    ],
)
def test_no_pairs(boxes, scores, classes, loss):
    options = ("MODEL.RMLR.LOSS.NAME", loss)
    model = clip_pairs(*options, boxes=boxes, scores=scores, classes=classes).train()
    value = model([model_input(), model_input(pairs=())])["loss_verb"]
    value.backward()
    assert value.item() == 0
    assert len(model.eval()([model_input()])[0]["hoi_instances"]) == 0


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("loss", ["VerbFocalLoss", "VerbLSESign"])
def test_certain_scores_and_large_logits_are_finite(loss, scale):
    model = clip_pairs("MODEL.RMLR.LOSS.NAME", loss, scores=(1.0, 1.0, 1.0)).train()
    model.classifier.scale = scale
    with torch.autocast("cpu", torch.bfloat16):
        value = model([model_input(pairs=())])["loss_verb"]
    value.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert value.dtype == torch.float32 and value.isfinite() and value > 0
    assert gradients and all(g.isfinite().all() for g in gradients)


def test_trains_on_annotated_boxes():
    name = "MODEL.ENTITY_DETECTOR.NAME"
    cfg = config("CLIPPairs", name, "AnnotatedEntityDetector")
    model = build_model(cfg).train()
    assert model([model_input()])["loss_verb"].isfinite()
    assert model.reached_pairs.take() == (1, 1)


UNSEEN = {"uv": "toy_uv", "uo": "toy_uo"}


@pytest.fixture
def zero_shot_sets():
    """A training set without any "ride", and one without any bus."""
    rides, buses = (HICO.hois[:, column] == v for column, v in ((1, RIDE), (0, BUS)))
    for name, unseen in ((UNSEEN["uv"], rides), (UNSEEN["uo"], buses)):
        groups = {"unseen": unseen.nonzero()[0].tolist()}
        MetadataCatalog.get(name).set(vocabulary=HICO, hoi_groups=groups)
    yield
    for name in UNSEEN.values():
        MetadataCatalog.pop(name)


def test_unseen_classes_are_not_in_the_loss(zero_shot_sets):
    """Neither as positives nor as negatives; their rows have no gradient."""
    cfg = config("CLIPPairs", "DATASETS.TRAIN", (UNSEEN["uv"],), "MODEL.HOI.VOCABULARY", "")
    model = build_model(cfg).train()
    given = GivenDetections(model.entity_detector, BOXES, SCORES, CLASSES)
    model.entity_detector.detect = given
    x = model_input()
    x["hoi_instances"].gt_verbs[0, RIDE] = 1
    loss = model([x])["loss_verb"]
    loss.backward()
    moved = model.classifier.weight.grad.any(dim=1).nonzero()[:, 0].tolist()
    bicycle = HICO.hoi_of[BICYCLE]
    assert {int(h) for h in bicycle if h >= 0} - set(moved) == {int(bicycle[RIDE])}
    with torch.no_grad():
        model.classifier.weight[bicycle[RIDE]] *= -7.0
        torch.testing.assert_close(model([x])["loss_verb"], loss)
        scored = model.eval()([x])[0]["hoi_instances"].verb_classes
    assert RIDE in scored


@pytest.mark.parametrize("architecture", ["RmLR", "LayoutRmLR", "UPT"])
def test_unseen_verbs_are_not_in_the_loss_of_other_models_either(architecture, zero_shot_sets):
    heads = {"RmLR": "InteractionHeads", "LayoutRmLR": "LayoutHeads", "UPT": "UPTHeads"}
    options = ["MODEL.RMLR.HEADS", heads[architecture], "MODEL.HOI.VOCABULARY", ""]
    cfg = tiny_config(architecture, *options, "DATASETS.TRAIN", (UNSEEN["uv"],))
    model = build_model(cfg).train()
    given = GivenDetections(model.entity_detector, BOXES, SCORES, CLASSES)
    model.entity_detector.detect, priors = given, []
    model.verb_loss.register_forward_pre_hook(lambda _, arguments: priors.append(arguments[1]))
    model([model_input()])
    others = [verb for verb in range(117) if verb != RIDE]
    assert (priors[0][:, others] > 0).any() and not priors[0][:, RIDE].any()
    assert model.valid_verbs[BICYCLE, RIDE], "testing scores the unseen verb"


@pytest.mark.parametrize("adapter", [0, 8])
def test_a_checkpoint_holds_what_is_trained(adapter, tmp_path):
    options = ("MODEL.CLIP_PAIRS.ADAPTER_DIM", adapter)
    model = clip_pairs(*options).train()
    # As after loading files of their own: nothing frozen is random.
    HOICheckpointer(model, str(tmp_path)).save("random")
    checkpointer = HOICheckpointer(model, str(tmp_path))
    checkpointer.random_parts = []
    with torch.no_grad():
        model.classifier.weight += 1.0
        for parameter in model.adapter.parameters():
            parameter += 0.1
    checkpointer.save("small")
    stored = torch.load(tmp_path / "small.pth", weights_only=True)["model"]
    assert {name.partition(".")[0] for name in stored} == {"classifier", "adapter"} - (
        set() if adapter else {"adapter"}
    )
    again = clip_pairs(*options)
    again.entity_detector.load_state_dict(model.entity_detector.state_dict())
    HOICheckpointer(again).load(tmp_path / "small.pth", strict=False)
    results = [m.eval()([model_input()])[0]["hoi_instances"] for m in (model, again)]
    assert as_dict(results[0]) == as_dict(results[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("MODEL.DEFR_DET.SCORE", "softmax"), "set MODEL.DEFR_DET.SCORE to sigmoid"),
        (
            ("MODEL.CLIP_PAIRS.ADAPTER_DIM", 0, "MODEL.CLIP_PAIRS.TRAIN_ROWS", False),
            "nothing is left to train",
        ),
    ],
)
def test_configs_that_cannot_learn(options, message):
    with pytest.raises(ConfigError, match=message):
        build_model(config("CLIPPairs", *options))
