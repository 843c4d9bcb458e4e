"""RmLR with the full loss: the sweep of DESIGN.md, and that no text reaches the logits."""

import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.modeling.language import linguistic_knowledge
from hoi_d2.utils.user_errors import UserError
from tests.modeling.language.small_encoders import encoded
from tests.modeling.tiny import GivenDetections, model_input, tiny_config

PERSON, BICYCLE = 0, 1
BOXES = [[5, 5, 30, 60], [10, 30, 60, 62], [40, 2, 70, 50]]
CML = "MODEL.RMLR.CML"
NO_DROPOUT = [
    part for name in ("IRE", "IRM", "CML") for part in (f"MODEL.RMLR.{name}.DROPOUT", 0.0)
]
TERMS = [f"loss_align_{level}_{s}" for s in ("irm", "ire") for level in ("sentence", "word")]


@pytest.fixture(autouse=True)
def small_language(monkeypatch):
    monkeypatch.setattr(linguistic_knowledge, "encode_sentences", lambda s, **_: encoded(s))


def rmlr(*options, boxes=BOXES, scores=(0.9, 0.8, 0.7), classes=(PERSON, BICYCLE, PERSON)):
    torch.manual_seed(0)
    model = build_model(tiny_config("RmLR", f"{CML}.ENABLED", True, *NO_DROPOUT, *options))
    model.entity_detector.detect = GivenDetections(model.entity_detector, boxes, scores, classes)
    return model.train()


def possible(model_input_):
    """The pair with the bicycle does something that has a sentence."""
    verbs = model_input_["hoi_instances"].gt_verbs
    verbs[:, 76] = 1  # ride
    return model_input_


def assert_finite(model, losses):
    assert all(loss.dtype == torch.float32 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    missing = [n for n, p in trained if p.grad is None or not torch.isfinite(p.grad).all()]
    assert trained and not missing


SWITCHES = [
    (),
    (f"{CML}.FEEDS_IRM", False),
    (f"{CML}.SA_LAYERS", 1),
    (f"{CML}.CROSS_ATTENTION", "learnt"),
    (f"{CML}.CROSS_ATTENTION", "layer"),
    (f"{CML}.CROSS_ATTENTION", "layer", f"{CML}.IRM_VECTORS", "output"),
    (f"{CML}.IRM_VECTORS", "output", f"{CML}.FEEDS_IRM", False),
    (f"{CML}.IRM_VECTORS", "output", "MODEL.RMLR.IRM.HIDDEN_DIM", 32),
    (f"{CML}.SENTENCE_IRM_WEIGHT", 0.0, f"{CML}.SENTENCE_IRE_WEIGHT", 0.0),
    (f"{CML}.WORD_IRM_WEIGHT", 0.0, f"{CML}.SENTENCE_IRM_WEIGHT", 0.0, f"{CML}.FEEDS_IRM", False),
    (f"{CML}.WORD_IRE_WEIGHT", 0.0, f"{CML}.SENTENCE_IRE_WEIGHT", 0.0),
    ("MODEL.RMLR.IRE.ENABLED", False),
    ("MODEL.RMLR.BOX_PAIR_ENCODING", True),
    ("MODEL.HOI.VOCABULARY", "vcoco"),
]


@pytest.mark.parametrize("options", SWITCHES)
def test_every_switch_trains(options):
    model = rmlr(*options)
    inputs = [possible(model_input()), model_input(seed=1)]
    if "vcoco" in options:
        for x in inputs:
            x["hoi_instances"].gt_verbs = x["hoi_instances"].gt_verbs[:, :29]
            x["hoi_instances"].gt_verbs[:, 3] = 1  # ride_instr
    losses = model(inputs)
    off = [options[i].lower() for i in range(0, len(options), 2) if options[i + 1] == 0.0]
    on = [t for t in TERMS if f"{CML}.{t.removeprefix('loss_align_')}_weight".lower() not in off]
    assert list(losses) == ["loss_verb", *on]
    assert all(losses[name] > 0 for name in on)
    assert_finite(model, losses)


@pytest.mark.parametrize(
    "detected, pairs",
    [
        (([], [], []), ()),  # nothing at all
        ((BOXES[:1], [0.9], [PERSON]), ((0, 1),)),  # alone
        ((BOXES, (0.9, 0.8, 0.7), (PERSON, BICYCLE, PERSON)), ()),  # nothing annotated
        ((BOXES, (0.9, 0.8, 0.7), (PERSON, BICYCLE, PERSON)), ((0, -1),)),
        ((BOXES, (1.0, 1.0, 1.0), (PERSON, BICYCLE, PERSON)), ((0, 1), (2, 1))),  # prior 1
    ],
)
def test_the_sweep(detected, pairs):
    boxes, scores, classes = detected
    model = rmlr(boxes=boxes, scores=scores, classes=classes)
    one, other = model_input(pairs=pairs), model_input(pairs=(), seed=1)  # one image is empty
    losses = model([one, other])
    assert list(losses) == ["loss_verb", *TERMS]
    if not pairs or pairs == ((0, -1),) or len(boxes) < 2:
        assert all(losses[name] == 0 for name in TERMS)
    assert_finite(model, losses)


@pytest.mark.parametrize("logit", [-100.0, 100.0])
def test_extreme_logits(logit):
    model = rmlr(scores=(1.0, 1.0, 1.0))
    torch.nn.init.constant_(model.interaction_heads.reasoning.predictor.bias, logit)
    assert_finite(model, model([possible(model_input())]))


def test_bf16():
    model = rmlr()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model([possible(model_input())])
    assert_finite(model, losses)


def test_broken_boxes_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        rmlr(boxes=[BOXES[0], [float("nan")] * 4, BOXES[2]])([model_input()])


def logits_of(model, inputs):
    kept = []
    hook = model.interaction_heads.register_forward_hook(lambda m, i, o: kept.append(o))
    model(inputs)
    hook.remove()
    return kept[0].verb_logits


@pytest.mark.parametrize("vectors", ["input", "output"])
@pytest.mark.parametrize("feeds_irm", [True, False])
@pytest.mark.parametrize("attention", ["fixed", "learnt", "layer"])
def test_no_ground_truth_text_reaches_the_logits(monkeypatch, vectors, feeds_irm, attention):
    """Other sentences for the same labels, other labels: the logits are the same, bit by bit."""
    options = (f"{CML}.FEEDS_IRM", feeds_irm, f"{CML}.CROSS_ATTENTION", attention)
    model = rmlr(*options, f"{CML}.IRM_VECTORS", vectors)
    inputs = [possible(model_input()), model_input(seed=1)]
    before, losses = logits_of(model, inputs), model(inputs)

    monkeypatch.setattr(linguistic_knowledge, "encode_sentences", lambda s, **_: encoded(s, seed=9))
    model.alignment.knowledge.sentence = None
    other_text = model(inputs)
    assert all(other_text[name] != losses[name] for name in TERMS)  # the text did change
    assert torch.equal(logits_of(model, inputs), before)

    for x in inputs:
        x["hoi_instances"].gt_verbs = 1 - x["hoi_instances"].gt_verbs
    assert torch.equal(logits_of(model, inputs), before)


@pytest.mark.parametrize("vectors", ["input", "output"])
@pytest.mark.parametrize("feeds_irm", [True, False])
def test_logits_are_those_of_inference(vectors, feeds_irm):
    """What the classifier is trained on is what it has in testing: no text stands between."""
    model = rmlr(f"{CML}.FEEDS_IRM", feeds_irm, f"{CML}.IRM_VECTORS", vectors)
    inputs = [possible(model_input())]
    trained = logits_of(model, inputs)
    torch.testing.assert_close(logits_of(model.eval(), inputs), trained)


def test_alignment_teaches_the_encoder_but_not_the_classifier():
    model = rmlr()
    losses = model([possible(model_input())])
    sum(losses[name] for name in TERMS).backward()
    heads = model.interaction_heads
    assert all(p.grad is None for p in heads.reasoning.parameters())
    assert all(p.grad.abs().sum() > 0 for p in heads.relation_encoder.projection.parameters())
    assert heads.to_union[0].weight.grad.abs().sum() > 0
    assert heads.to_human[0].weight.grad.abs().sum() > 0


ALGORITHM_1 = (f"{CML}.CROSS_ATTENTION", "layer", f"{CML}.IRM_VECTORS", "output")


@pytest.mark.parametrize("options", [(), ALGORITHM_1])
def test_nothing_of_language_is_loaded_at_inference(monkeypatch, tmp_path, options):
    def refuse(*args, **kwargs):
        raise AssertionError("a language model was asked for")

    monkeypatch.setattr(linguistic_knowledge, "encode_sentences", refuse)
    model = rmlr(*options).eval()
    assert len(model([model_input()])[0]["hoi_instances"])
    assert not model.alignment.knowledge.is_loaded
    with pytest.raises(AssertionError, match="asked for"):
        model.train()([model_input()])
    file = HOICheckpointer(model).save_weights(tmp_path / "model.safetensors")
    HOICheckpointer(rmlr(*options).eval()).load(file)


def test_checkpoints_hold_no_text(tmp_path):
    model = rmlr()
    names = set(model.state_dict())
    model([possible(model_input())])
    assert model.alignment.knowledge.is_loaded
    assert set(model.state_dict()) == names
    assert not any(name.startswith("alignment") for name in names)


def test_a_batch_equals_its_images():
    """Scores: tests/modeling/meta_arch/test_rmlr.py. Here the loss, weighted by its counts."""
    model = rmlr()
    inputs = [possible(model_input(h, w, seed=i)) for i, (h, w) in enumerate([(64, 80), (96, 64)])]
    together = model(inputs)
    alone = [model([x]) for x in inputs]
    for name in TERMS:  # each image has the same number of aligned pairs
        expected = sum(losses[name] for losses in alone) / 2
        torch.testing.assert_close(together[name], expected, rtol=1e-4, atol=1e-5)


def test_a_batch_equals_its_images_at_inference():
    model = rmlr().eval()
    inputs = [model_input(h, w, seed=i) for i, (h, w) in enumerate([(64, 80), (96, 64), (90, 77)])]
    with torch.no_grad():
        together = logits_of(model, inputs)
        alone = torch.cat([logits_of(model, [x]) for x in inputs])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_without_a_union_vector_there_is_nothing_to_align():
    with pytest.raises(ValueError, match="IRE_WEIGHT"):
        rmlr("MODEL.RMLR.MASKED_ROI.MASK", "none")


def test_all_weights_off_is_cross_modal_self_attention_alone():
    off = [p for t in TERMS for p in (f"{CML}.{t.removeprefix('loss_align_').upper()}_WEIGHT", 0.0)]
    model = rmlr(*off)
    assert model.alignment is None and model.interaction_heads.overall_attention is not None
    losses = model([model_input()])
    assert list(losses) == ["loss_verb"]
    assert_finite(model, losses)


def test_todays_checkpoints_keep_their_names():
    """Of the config without new choices: no part is added, none is renamed."""
    parts = {n.split(".")[1] for n in rmlr().state_dict() if n.startswith("interaction_heads")}
    attention = {"overall_attention", "union_attention"}
    of_pairs = {"to_global", "to_human", "to_object", "to_union"}
    assert parts == {"relation_encoder", "reasoning"} | attention | of_pairs


def test_todays_checkpoints_load_whatever_l_m_is_about(tmp_path):
    """Parts of the alignment act in training alone: a file need not have them."""
    file = HOICheckpointer(rmlr()).save_weights(tmp_path / "model.safetensors")
    model = rmlr(*ALGORITHM_1).eval()
    checkpointer = HOICheckpointer(model)
    checkpointer.load(file)
    assert "interaction_heads" not in checkpointer.random_parts
    with torch.no_grad():
        expected, found = (logits_of(m, [model_input()]) for m in (rmlr().eval(), model))
    assert torch.equal(found, expected)


def test_no_projection_where_l_m_has_no_weight():
    off = (f"{CML}.SENTENCE_IRM_WEIGHT", 0.0, f"{CML}.WORD_IRM_WEIGHT", 0.0)
    assert rmlr(*ALGORITHM_1, *off).alignment.projection is None


@pytest.mark.parametrize("feeds_irm", [False, True])
def test_the_width_that_the_irm_reads(feeds_irm):
    """[g, s, m], four times FEATURE_DIM (2,048 in the paper), and HIDDEN_DIM of CML."""
    model = rmlr(f"{CML}.FEEDS_IRM", feeds_irm, *ALGORITHM_1)
    heads = model.interaction_heads
    extra = heads.overall_attention.hidden_dim if feeds_irm else 0
    assert (heads.overall_attention is not None) == feeds_irm
    assert heads.reasoning.projection.in_features == 4 * heads.to_global[0].out_features + extra


def test_what_l_m_can_be_about_is_one_of_two():
    with pytest.raises(UserError, match=r"MODEL.RMLR.CML.IRM_VECTORS must be one of"):
        rmlr(f"{CML}.IRM_VECTORS", "middle")


@pytest.mark.parametrize("options", [(), (f"{CML}.IRM_VECTORS", "output")])
def test_inference_makes_no_vectors_for_the_alignment_alone(options):
    model = rmlr(f"{CML}.FEEDS_IRM", False, *options).eval()
    heads, found = model.interaction_heads, []
    heads.register_forward_hook(lambda module, inputs, output: found.append(output))
    with torch.no_grad():
        model([model_input()])
    assert found[0].overall is None and found[0].union is None
