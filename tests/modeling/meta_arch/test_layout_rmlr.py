import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.data.layout_mapper import LayoutMapper
from hoi_d2.modeling.language import linguistic_knowledge
from hoi_d2.modeling.meta_arch.layout import (
    human_object_pairs,
    matched_verbs,
    packed,
    packed_targets,
)
from hoi_d2.utils.user_errors import UserError
from tests.modeling.language.small_encoders import encoded
from tests.modeling.tiny import tiny_config

OPTIONS = (
    *("MODEL.ENTITY_DETECTOR.NAME", "AnnotatedEntityDetector"),
    *("MODEL.RMLR.HEADS", "LayoutHeads"),
    *("MODEL.RMLR.LAYOUT.TOKEN_DIM", 16),
    *("MODEL.RMLR.LAYOUT.HIDDEN_DIM", 32),
)


def record(boxes, classes, pairs, image_id=1):
    entities = [
        {"bbox": list(b), "bbox_mode": 0, "category_id": c, "iscrowd": 0}
        for b, c in zip(boxes, classes)
    ]
    interactions = [{"human": h, "object": o, "verb": v, "hoi": -1} for h, o, v in pairs]
    return {
        "file_name": f"{image_id}.jpg",
        "image_id": image_id,
        "annotations": entities,
        "hoi_annotations": interactions,
    }


RIDER = ([(10, 10, 60, 120), (5, 60, 90, 160), (200, 10, 250, 130)], [0, 1, 0])
RECORDS = [
    record([], [], []),
    record(*RIDER, [(0, 1, 76), (0, 1, 36), (0, -1, 5)], image_id=2),
    record([(0, 0, 40, 40)], [1], [], image_id=3),
    record([(0, 0, 40, 80), (30, 30, 50, 60)], [0, 0], [(0, 1, 43)], image_id=4),
]


def inputs(records=RECORDS, *, is_train=True):
    return [LayoutMapper(is_train=is_train, num_verbs=117)(r) for r in records]


def model(*options):
    torch.manual_seed(0)
    return build_model(tiny_config("LayoutRmLR", *OPTIONS, *options))


@pytest.mark.parametrize("records", [RECORDS[:1], RECORDS[:1] * 2, RECORDS[2:3], RECORDS])
def test_training_on_any_batch(records):
    net = model("MODEL.RMLR.LAYOUT.NOISE.SHARE", 1.0).train()
    loss = net(inputs(records))["loss_verb"]
    loss.backward()
    assert torch.isfinite(loss)


def test_the_packed_batch_is_rmlrs_own_way():
    net = model("MODEL.RMLR.LAYOUT.NOISE.SHARE", 0.0, "MODEL.RMLR.LAYOUT.DROPOUT", 0.0).train()
    given = inputs()
    loss = net(given)["loss_verb"]
    slow = super(type(net), net).forward(given)["loss_verb"]
    torch.testing.assert_close(loss, slow)


def test_pairs_and_verbs_are_those_of_match_pairs():
    given = inputs([*RECORDS, record(*RIDER, [(2, 1, 8)], image_id=5)])  # the same boxes again
    instances = [x["instances"] for x in given]
    entities = packed(instances)
    counts = torch.bincount(entities.images, minlength=len(given))
    rows = human_object_pairs(entities, counts, person=0)
    assert rows.tolist() == [
        [0, 1],
        [0, 2],
        [2, 0],
        [2, 1],
        [4, 5],
        [5, 4],
        [6, 7],
        [6, 8],
        [8, 6],
        [8, 7],
    ]
    targets = packed_targets([x["hoi_instances"] for x in given], instances)
    verbs = matched_verbs(entities, rows, entities, *targets, 0.5)
    assert verbs.nonzero().tolist() == [[0, 36], [0, 76], [4, 43], [9, 8]]


def test_testing_is_rmlrs_own_with_boxes_that_are_certain():
    output = model().eval()(inputs(is_train=False))
    assert [len(o["instances"]) for o in output] == [0, 3, 1, 2]
    found = output[1]["hoi_instances"]
    assert {tuple(p) for p in found.pair_indices.tolist()} == {(0, 1), (1, 0), (0, 2), (1, 2)}
    assert (output[1]["instances"].scores == 1).all()


def test_a_detectors_input_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"DATALOADER.MAPPER"):
        model().eval()([{"image": torch.zeros(3, 20, 20)}])


def test_a_detector_without_weights_is_not_random():
    assert model().random_weights() == ["interaction_heads"]


CML = "MODEL.RMLR.CML"
ALIGNED = (
    *(f"{CML}.ENABLED", True, f"{CML}.DROPOUT", 0.0, f"{CML}.HIDDEN_DIM", 16),
    *(f"{CML}.SENTENCE_IRE_WEIGHT", 0.0, f"{CML}.WORD_IRE_WEIGHT", 0.0),
    *("MODEL.RMLR.LAYOUT.NOISE.SHARE", 0.0, "MODEL.RMLR.LAYOUT.DROPOUT", 0.0),
)
TERMS = ["loss_align_sentence_irm", "loss_align_word_irm"]
CHOICES = [
    (f"{CML}.IRM_VECTORS", vectors, f"{CML}.FEEDS_IRM", feeds, f"{CML}.CROSS_ATTENTION", kind)
    for vectors in ("input", "output")
    for feeds in (True, False)
    for kind in ("fixed", "layer")
]


@pytest.fixture
def small_language(monkeypatch):
    monkeypatch.setattr(linguistic_knowledge, "encode_sentences", lambda s, **_: encoded(s))


@pytest.mark.parametrize("records", [RECORDS[:1], RECORDS[:1] * 2, RECORDS[2:3], RECORDS])
@pytest.mark.parametrize("choice", CHOICES)
def test_alignment_on_any_batch(small_language, choice, records):
    net = model(*ALIGNED, *choice).train()
    losses = net(inputs(records))
    assert list(losses) == ["loss_verb", *TERMS]
    assert all((losses[t] > 0) == (len(records) == len(RECORDS)) for t in TERMS)
    sum(losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("choice", CHOICES)
def test_the_packed_batch_is_rmlrs_own_way_with_alignment(small_language, choice):
    net = model(*ALIGNED, *choice).train()
    losses, slow = net(inputs()), super(type(net), net).forward(inputs())
    for name, loss in losses.items():
        torch.testing.assert_close(loss, slow[name])


@pytest.mark.parametrize("vectors, taught", [("input", False), ("output", True)])
def test_what_the_alignment_teaches(small_language, vectors, taught):
    """L^m on the output reaches the pooling of the pairs, the layout model's IRM."""
    net = model(*ALIGNED, f"{CML}.IRM_VECTORS", vectors).train()
    losses = net(inputs())
    sum(losses[t] for t in TERMS).backward()
    heads = net.interaction_heads
    reached = [p.grad is not None for p in (*heads.poolings.parameters(), heads.norm.weight)]
    assert all(reached) if taught else not any(reached)
    assert heads.of_geometry.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in heads.predictor.parameters())


@pytest.mark.parametrize("choice", CHOICES)
def test_testing_takes_no_text(monkeypatch, choice):
    def refuse(*args, **kwargs):
        raise AssertionError("a language model was asked for")

    monkeypatch.setattr(linguistic_knowledge, "encode_sentences", refuse)
    output = model(*ALIGNED, *choice).eval()(inputs(is_train=False))
    assert [len(o["instances"]) for o in output] == [0, 3, 1, 2]


def test_todays_layout_weights_keep_their_names():
    names = {n.split(".")[1] for n in model().state_dict() if n.startswith("interaction_heads")}
    assert not names & {"overall_attention", "of_attended"}


def test_union_vectors_cannot_be_aligned():
    with pytest.raises(UserError, match="SENTENCE_IRE_WEIGHT and WORD_IRE_WEIGHT to 0"):
        model(*ALIGNED, f"{CML}.WORD_IRE_WEIGHT", 0.5)
