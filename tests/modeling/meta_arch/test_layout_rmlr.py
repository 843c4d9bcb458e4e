import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.data.layout_mapper import LayoutMapper
from hoi_d2.modeling.meta_arch.layout import (
    human_object_pairs,
    matched_verbs,
    packed,
    packed_targets,
)
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
