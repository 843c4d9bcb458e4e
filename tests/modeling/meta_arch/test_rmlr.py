import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.checkpoint.checkpointer import weights_hash
from tests.modeling.tiny import GivenDetections, model_input, tiny_config

PERSON, BICYCLE = 0, 1
BOXES = [[5, 5, 30, 60], [10, 30, 60, 62], [40, 2, 70, 50]]


def rmlr(*options, boxes=BOXES, scores=(0.9, 0.8, 0.7), classes=(PERSON, BICYCLE, PERSON)):
    torch.manual_seed(0)
    model = build_model(tiny_config("RmLR", *options))
    model.entity_detector.detect = GivenDetections(model.entity_detector, boxes, scores, classes)
    return model


ABLATIONS = [
    (),
    ("MODEL.RMLR.IRE.ENABLED", False),
    ("MODEL.RMLR.MASKED_ROI.MASK", "union"),
    ("MODEL.RMLR.MASKED_ROI.MASK", "image"),
    ("MODEL.RMLR.MASKED_ROI.MASK", "none"),
    ("MODEL.RMLR.BOX_PAIR_ENCODING", True),
    ("MODEL.RMLR.IRM.NUM_LAYERS", 2),
]


@pytest.mark.parametrize("options", ABLATIONS)
def test_every_trainable_parameter_gets_a_finite_gradient(options):
    model = rmlr(*options, "MODEL.RMLR.IRE.DROPOUT", 0.0, "MODEL.RMLR.IRM.DROPOUT", 0.0).train()
    losses = model([model_input(), model_input(seed=1)])
    assert list(losses) == ["loss_verb"]
    losses["loss_verb"].backward()
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    missing = [n for n, p in trained if p.grad is None or not torch.isfinite(p.grad).all()]
    assert trained and not missing


def test_not_one_byte_of_the_detector_changes_in_training():
    model = rmlr().train()
    before = weights_hash(model.state_dict(), "entity_detector")
    head = weights_hash(model.state_dict(), "interaction_heads")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for step in range(3):
        optimizer.zero_grad()
        model([model_input(seed=step)])["loss_verb"].backward()
        optimizer.step()
    assert weights_hash(model.state_dict(), "entity_detector") == before
    assert weights_hash(model.state_dict(), "interaction_heads") != head
    assert not any(module.training for module in model.entity_detector.modules())


@pytest.mark.parametrize(
    "boxes, scores, classes",
    [
        ([], [], []),
        (BOXES[:1], [0.9], [PERSON]),  # alone
        (BOXES[:2], [0.9, 0.8], [BICYCLE, BICYCLE]),  # nobody
    ],
)
def test_no_pairs(boxes, scores, classes):
    model = rmlr(boxes=boxes, scores=scores, classes=classes).train()
    loss = model([model_input(), model_input(pairs=())])["loss_verb"]
    loss.backward()
    assert loss.item() == 0
    output = model.eval()([model_input()])[0]
    assert len(output["hoi_instances"]) == 0
    assert len(output["instances"]) == len(boxes)


@pytest.mark.parametrize("pairs", [(), ((0, -1),), ((1, 0),)])
def test_no_positives_is_finite(pairs):
    loss = rmlr().train()([model_input(pairs=pairs)])["loss_verb"]
    assert torch.isfinite(loss)
    assert loss > 0


def by_pair_and_verb(found):
    """Scores by what they are for: rows that all but tie may change places."""
    keys = [(*p, v) for p, v in zip(found.pair_indices.tolist(), found.verb_classes.tolist())]
    return dict(zip(keys, found.scores.tolist()))


@pytest.mark.parametrize("mask", ["human_or_object", "union", "image"])
def test_a_batch_equals_its_images_and_padding_changes_nothing(mask):
    """Also in the detector: tokens and maps of a padded image are those of the image alone."""
    model = rmlr("MODEL.RMLR.MASKED_ROI.MASK", mask).eval()
    sizes = [(64, 64), (96, 64), (64, 128), (96, 128), (90, 77)]
    inputs = [model_input(h, w, seed=i) for i, (h, w) in enumerate(sizes)]
    with torch.no_grad():
        together = model(inputs)
        alone = [model([x])[0] for x in inputs]
    for a, b in zip(together, alone):
        left, right = by_pair_and_verb(a["hoi_instances"]), by_pair_and_verb(b["hoi_instances"])
        assert left.keys() == right.keys() and left
        for key, score in left.items():
            assert score == pytest.approx(right[key], rel=1e-4, abs=1e-6)


def test_output_is_on_the_original_image_and_sorted():
    model = rmlr().eval()
    output = model([model_input()])[0]
    found, entities = output["hoi_instances"], output["instances"]
    assert found.image_size == (128, 160)
    torch.testing.assert_close(entities.pred_boxes.tensor[0], 2 * torch.tensor(BOXES[0]).float())
    assert (found.scores[:-1] >= found.scores[1:]).all()
    people = entities.pred_classes[found.pair_indices[:, 0]]
    assert (people == PERSON).all()
    torch.testing.assert_close(
        found.object_boxes.tensor, entities.pred_boxes.tensor[found.pair_indices[:, 1]]
    )


def test_only_verbs_that_go_with_the_object_and_scores_are_logit_times_prior():
    model = rmlr().eval()
    vocabulary = model.vocabulary
    found = model([model_input()])[0]["hoi_instances"]
    assert (found.hoi_classes >= 0).all()
    hois = vocabulary.hois[found.hoi_classes.numpy()]
    assert (hois[:, 0] == found.object_classes.numpy()).all()
    assert (hois[:, 1] == found.verb_classes.numpy()).all()
    # persons 0 and 2, bicycle 1: two pairs with the bicycle, two of persons with one another
    valid = vocabulary.valid_verbs.sum(axis=1)
    assert len(found) == 2 * valid[BICYCLE] + 2 * valid[PERSON]
    bound = {(0, 1): 0.72, (2, 1): 0.56, (0, 2): 0.63, (2, 0): 0.63}
    scores = torch.tensor([0.9, 0.7, 0.8])  # kept: persons first
    pair = found.pair_indices
    assert (found.scores <= (scores[pair[:, 0]] * scores[pair[:, 1]]) ** 2.8).all()
    assert len(bound) == len({tuple(p) for p in pair.tolist()})


def test_the_loss_has_the_exponent_of_training():
    model = rmlr("MODEL.RMLR.LOSS.PRIOR_EXPONENT_TRAIN", 0.5)
    seen = {}
    model.verb_loss.register_forward_hook(lambda _, given, loss: seen.update(priors=given[1]))
    model.pair_generator.register_forward_hook(lambda _, given, pairs: seen.update(pairs=pairs))
    model([model_input()])
    scores = sorted(seen["pairs"].pair_scores.tolist())
    assert scores == pytest.approx([0.7 * 0.8, 0.9 * 0.7, 0.9 * 0.7, 0.9 * 0.8])
    best = seen["priors"].max(dim=1).values  # of a verb that goes with the object
    torch.testing.assert_close(best, seen["pairs"].pair_scores ** 0.5)


def test_caps():
    assert len(rmlr("MODEL.HOI.MAX_DETECTIONS", 3).eval()([model_input()])[0]["hoi_instances"]) == 3
    found = rmlr("MODEL.HOI.SCORE_THRESHOLD", 0.99).eval()([model_input()])[0]["hoi_instances"]
    assert len(found) == 0


def test_says_which_weights_are_random():
    model = rmlr()
    assert model.random_weights() == ["interaction_heads", "entity_detector"]
    assert model.frozen_prefixes == ("entity_detector",)


def test_bf16_autocast_gives_an_fp32_loss():
    model = rmlr().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model([model_input()])["loss_verb"]
    assert loss.dtype == torch.float32
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(g).all() for g in gradients)


def test_ire_may_start_as_the_detectors_encoder():
    """With its weights, the IRE's map is the detector's memory; and it is trained on."""
    options = ("MODEL.RMLR.IRE.START_FROM_DETECTOR", True, "MODEL.RMLR.IRE.NUM_LAYERS", 1)
    widths = ("MODEL.RMLR.IRE.HIDDEN_DIM", 32, "MODEL.RMLR.IRE.FFN_DIM", 32)
    model = build_model(tiny_config("RmLR", *options, *widths)).eval()
    with torch.no_grad():
        images, mask = model.entity_detector.preprocess([model_input(), model_input(96, 64)])
        output = model.entity_detector.network(images.tensor, mask)
        encoded = model.interaction_heads.relation_encoder(output.feature_map, output.feature_mask)
    inside = output.feature_mask.flatten(1)
    torch.testing.assert_close(
        encoded.flatten(2).transpose(1, 2)[inside], output.memory[inside], rtol=1e-4, atol=1e-5
    )
    assert all(p.requires_grad for p in model.interaction_heads.relation_encoder.parameters())


def test_ire_of_other_widths_cannot_start_so():
    with pytest.raises(ValueError, match="HIDDEN_DIM"):
        build_model(tiny_config("RmLR", "MODEL.RMLR.IRE.START_FROM_DETECTOR", True))


@pytest.mark.parametrize(
    ("boxes", "add", "reached", "candidates"),
    [
        ([], False, 0, 0),
        (BOXES[:2], False, 1, 1),  # the person on the bicycle; the other pair has no object
        (BOXES[:1], False, 0, 0),
        (BOXES[:1], True, 1, 4),  # the bicycle and the other person join: 2 x 2 pairs
    ],
)
def test_missed_entities_can_join_the_candidates_of_training(boxes, add, reached, candidates):
    scores, classes = [0.9, 0.8][: len(boxes)], [PERSON, BICYCLE][: len(boxes)]
    options = ("MODEL.RMLR.LOSS.ADD_GROUND_TRUTH", add)
    model = rmlr(*options, boxes=boxes, scores=scores, classes=classes).train()
    model([model_input()])
    assert model.reached_pairs.take() == (reached, 1)
    assert model.reached_pairs.take() == (0, 0)
    entities = model.entity_detector([model_input()])
    pairs = model.pair_generator(model.targets.candidates(entities.instances, [model_input()]))
    assert len(pairs) == candidates
    found = model.eval()([model_input()])[0]
    assert len(found["instances"]) == len(boxes), "testing sees the detections alone"
