"""UPT as a whole: it trains, an image without a pair loses nothing, and it gives interactions."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.checkpoint.checkpointer import weights_hash
from hoi_d2.config.load import ConfigError
from tests.modeling.losses.test_verb_focal import published_form
from tests.modeling.tiny import GivenDetections, model_input, tiny_config

PERSON, BICYCLE = 0, 1
BOXES = [[5, 5, 30, 60], [10, 30, 60, 62], [40, 2, 70, 50]]
FOUND = (BOXES, (0.9, 0.8, 0.7), (PERSON, BICYCLE, PERSON))
NOBODY = (BOXES[:2], (0.9, 0.8), (BICYCLE, BICYCLE))


def upt(*options, found=FOUND):
    torch.manual_seed(0)
    options = ("MODEL.RMLR.HEADS", "UPTHeads", "MODEL.UPT.DROPOUT", 0.0, *options)
    model = build_model(tiny_config("UPT", *options))
    model.entity_detector.detect = GivenDetections(model.entity_detector, *found)
    return model


@pytest.mark.parametrize("found", [([], [], []), (BOXES[:1], [0.9], [PERSON]), NOBODY])
def test_no_pairs(found):
    model = upt(found=found).train()
    loss = model([model_input(), model_input(pairs=())])["loss_verb"]
    loss.backward()
    assert loss.item() == 0
    output = model.eval()([model_input()])[0]
    assert len(output["hoi_instances"]) == 0
    assert len(output["instances"]) == len(found[0])


def test_every_trained_weight_has_a_finite_gradient_and_the_detector_none():
    model = upt().train()
    before = weights_hash(model.state_dict(), "entity_detector")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = model([model_input(), model_input(seed=1)])
    assert list(losses) == ["loss_verb"]
    losses["loss_verb"].backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert trained and all(n.startswith("interaction_heads") for n in trained)
    assert not [n for n, p in trained.items() if p.grad is None or not p.grad.isfinite().all()]
    optimizer.step()
    assert weights_hash(model.state_dict(), "entity_detector") == before
    assert not any(module.training for module in model.entity_detector.modules())


def test_it_learns():
    model, inputs = upt().train(), [model_input(), model_input(seed=1)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    values = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model(inputs)["loss_verb"]
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.3 * values[0]


def test_the_loss_is_the_published_one():
    """Their expression over the same logits, over the number of positive entries."""
    model = upt().train()
    model_inputs = [model_input(), model_input(seed=1)]
    kept = {}
    model.verb_loss.register_forward_pre_hook(lambda m, x: kept.update(enumerate(x)))
    loss = model(model_inputs)["loss_verb"]
    logits, priors, verbs = kept[0].detach(), kept[1], kept[2]
    positives = int((verbs * (priors > 0)).sum())
    assert positives > 0
    expected = published_form(logits, priors, verbs) / positives
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)


class InTurn:
    """Gives each image of a batch its own detections."""

    def __init__(self, detector, *found):
        self.given = [GivenDetections(detector, *f) for f in found]

    def __call__(self, images, mask):
        results = [given(images, mask) for given in self.given]
        results[0].instances = [r.instances[i] for i, r in enumerate(results)]
        return results[0]


@torch.no_grad()
def test_an_image_without_a_pair_changes_nothing():
    """The loss is that of the others."""
    model = upt()
    detector = model.entity_detector
    model_inputs = [model_input(seed=seed) for seed in range(3)]
    del detector.detect
    detector.detect = InTurn(detector, FOUND, NOBODY, FOUND)
    whole = model.train()(model_inputs)["loss_verb"]
    detector.detect = detector.detect.given[0].original
    detector.detect = InTurn(detector, FOUND, FOUND)
    present = model(model_inputs[::2])["loss_verb"]
    torch.testing.assert_close(whole, present)


@torch.no_grad()
def test_a_batch_gives_what_each_image_gives():
    model = upt().eval()
    inputs = [model_input(), model_input(96, 64, seed=1), model_input(48, 112, seed=2)]
    together, alone = model(inputs), [model([x])[0] for x in inputs]
    for a, b in zip(together, alone):
        a, b = a["hoi_instances"], b["hoi_instances"]
        assert len(a) > 0 and torch.equal(a.pair_indices, b.pair_indices)
        torch.testing.assert_close(a.scores, b.scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize("clip", [True, False])
def test_boxes_that_reach_out_of_the_image(clip):
    """UPT's weights know them as they are; what is given out lies inside."""
    found = ([[-9.0, -9, 30, 60], [10, 30, 95, 70]], (0.9, 0.8), (PERSON, BICYCLE))
    model = upt("MODEL.RMLR.PAIRS.CLIP_BOXES", clip, found=found).eval()
    with torch.no_grad():
        entities = model.entity_detector([model_input()])
        kept = model.pair_generator(entities.instances).human_boxes[0].tolist()
        output = model([model_input()])[0]["hoi_instances"]
    assert kept == ([0, 0, 30, 60] if clip else [-9, -9, 30, 60])
    assert output.human_boxes.tensor.min() >= 0


@pytest.mark.parametrize(
    "options, message",
    [
        (("MODEL.RMLR.HEADS", "InteractionHeads"), "UPT goes with MODEL.RMLR.HEADS UPTHeads"),
        (
            ("MODEL.ENTITY_DETECTOR.NAME", "AnnotatedEntityDetector"),
            "AnnotatedEntityDetector gives boxes alone",
        ),
    ],
)
def test_parts_that_do_not_go_together(options, message):
    with pytest.raises(ConfigError, match=message):
        build_model(tiny_config("UPT", "MODEL.RMLR.HEADS", "UPTHeads", *options))


def test_mixed_precision_learns_the_same():
    model, inputs = upt().train(), [model_input(), model_input(seed=1)]
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(inputs)["loss_verb"]
    loss.backward()
    assert loss.item() == pytest.approx(model(inputs)["loss_verb"].item(), rel=0.01)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
