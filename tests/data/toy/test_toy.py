import numpy as np
import pytest
from detectron2.data import MetadataCatalog

from hoi_d2.data.toy import scene as toy
from hoi_d2.data.toy.actions import ACTIONS, POSES
from hoi_d2.data.toy.art import Canvas
from hoi_d2.data.toy.dataset import (
    RARE_HOIS,
    TRAINING_POSITIVES,
    drawn_hois,
    load_toy,
    load_toy_labels,
    toy_record,
)
from hoi_d2.data.toy.things import EXTENTS, Thing, draw_thing
from hoi_d2.data.vocabulary import hico_det_vocabulary


def test_size_of_the_world():
    hois = drawn_hois()
    objects, verbs = zip(*(hico_det_vocabulary().hois[h] for h in hois))
    assert (len(hois), len(set(objects)), len(set(verbs))) == (56, 12, 20)
    assert -1 not in hois


def test_rare_list_is_what_the_training_set_has():
    counts = toy.hoi_counts("train")
    rare = [hoi for hoi in drawn_hois() if counts[hoi] < 10]
    assert tuple(rare) == RARE_HOIS
    assert len(rare) >= len(drawn_hois()) / 4
    assert min(counts[hoi] for hoi in drawn_hois()) > 0
    assert set(toy.hoi_counts("val")) == set(drawn_hois())


def test_training_positives_are_what_the_training_set_has():
    labels = np.stack([record["image_labels"] for record in load_toy_labels("train")])
    assert tuple((labels == 1).sum(axis=0)[drawn_hois()].tolist()) == TRAINING_POSITIVES
    positives = MetadataCatalog.get("toy_hoi_cls_val").training_positives
    assert np.array_equal(positives, (labels == 1).sum(axis=0))


def test_the_same_seed_draws_the_same_image():
    first, second = (toy.render(toy.toy_scene("train", 7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, toy.render(toy.toy_scene("train", 8))[: first.shape[0]])


@pytest.mark.parametrize("index", range(40))
def test_records_are_sound(index):
    record = toy_record("val", index)
    height, width = record["height"], record["width"]
    assert toy.read_toy_image(record["file_name"]).shape == (height, width, 3)
    for entity in record["annotations"]:
        x0, y0, x1, y1 = entity["bbox"]
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
    for pair in record["hoi_annotations"]:
        human, obj = (record["annotations"][pair[k]]["category_id"] for k in ("human", "object"))
        assert human == 0
        assert hico_det_vocabulary().hoi_of[obj, pair["verb"]] == pair["hoi"] >= 0


def test_scenes_have_what_the_design_asks_for():
    records = load_toy("val")[:300]
    people = [sum(e["category_id"] == 0 for e in r["annotations"]) for r in records]
    things = [sum(e["category_id"] != 0 for e in r["annotations"]) for r in records]
    pairs = [{(p["human"], p["object"]) for p in r["hoi_annotations"]} for r in records]
    assert 1 <= max(people) <= 5
    assert max(things) <= 6
    assert any(len(p) >= 3 for p in pairs)
    assert any(len(r["hoi_annotations"]) > len(p) for r, p in zip(records, pairs))
    idle = [n - len({h for h, _ in p}) for n, p in zip(people, pairs)]
    assert sum(i > 0 for i in idle) > 20, "nobody stands where others act"
    assert any(not p for p in pairs), "no image without pairs"


def test_the_same_place_goes_with_several_verbs():
    """A ball at the feet: kicked, picked up, or nothing; told apart by the pose alone."""
    at_the_foot = [a for a in ACTIONS if a.place in ("foot", "reach") and a.object == "sports ball"]
    assert len({a.verbs for a in at_the_foot}) == 2
    assert all(a.idle_is_plausible for a in at_the_foot)


@pytest.mark.parametrize("kind, form", sorted(EXTENTS))
def test_boxes_are_tight(kind, form):
    image = np.zeros((240, 240, 3), dtype=np.uint8)
    thing = Thing(kind, (120.0, 120.0), 150.0, 1, ((255, 255, 255), (254, 254, 254)), form=form)
    draw_thing(Canvas(image), thing)
    ys, xs = np.nonzero(image.any(axis=2))
    drawn = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    np.testing.assert_allclose(drawn, thing.box, atol=8)


def test_image_labels_have_hicos_four_values():
    vocabulary = hico_det_vocabulary()
    seen = set()
    for record, labelled in zip(load_toy("val")[:50], load_toy_labels("val")):
        labels = labelled["image_labels"]
        done = {pair["hoi"] for pair in record["hoi_annotations"]}
        assert set(np.flatnonzero(labels == 1)) == done
        there = {entity["category_id"] for entity in record["annotations"]}
        known = {int(vocabulary.hois[hoi, 0]) for hoi in np.flatnonzero(labels != -2)}
        assert known == there
        seen |= set(labels.tolist())
    assert seen == {1, 0, -1, -2}


def test_every_action_has_a_pose():
    assert {a.pose for a in ACTIONS} <= set(POSES)
