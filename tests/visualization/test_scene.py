import numpy as np
import pytest
from drawing_cases import BALL, BICYCLE, HOLD, HUG, PERSON, RIDE

from hoi_d2.data.vocabulary import hico_det_vocabulary, vcoco_vocabulary
from hoi_d2.visualization.scene import (
    HIT,
    MISS,
    Interaction,
    box_iou,
    build_scene,
    readable_verbs,
)

A, A_AGAIN, FAR = [10, 10, 50, 90], [11, 10, 50, 91], [100, 10, 140, 90]
BIKE, OTHER_BIKE = [5, 50, 70, 110], [80, 50, 150, 110]


def acts(human, verb, target=None, category=-1, score=None, state=""):
    box = None if target is None else np.array(target, dtype=float)
    return Interaction(np.array(human, dtype=float), verb, box, category, score, state)


@pytest.mark.parametrize(
    ("interactions", "texts"),
    [
        ([], []),
        ([acts(A, RIDE, BIKE, BICYCLE, 0.5)], ["ride bicycle 0.50"]),
        (
            [acts(A, RIDE, BIKE, BICYCLE, 0.87), acts(A, HOLD, BIKE, BICYCLE, 0.5)],
            ["ride and hold bicycle 0.87"],
        ),
        (  # the best verb gives the score wherever it stands
            [acts(A, HOLD, BIKE, BICYCLE, 0.5), acts(A_AGAIN, RIDE, BIKE, BICYCLE, 0.87)],
            ["hold and ride bicycle 0.87"],
        ),
        ([acts(A, HOLD, BIKE, BICYCLE), acts(A, HOLD, BIKE, BICYCLE)], ["hold bicycle"]),
        (
            [acts(A, HOLD, BIKE, BICYCLE), acts(A, HOLD, OTHER_BIKE, BICYCLE)],
            ["hold bicycle", "hold bicycle"],
        ),
        ([acts(A, HUG, FAR, PERSON), acts(FAR, HUG, A, PERSON)], ["hug person", "hug person"]),
        ([acts(A, RIDE, score=0.25)], ["ride 0.25"]),
        ([acts(A, HOLD, BIKE, BALL)], ["hold sports ball"]),
        (  # a hit and a miss of one pair are not one thing
            [acts(A, RIDE, BIKE, BICYCLE, state=HIT), acts(A, HOLD, BIKE, BICYCLE, state=MISS)],
            ["ride bicycle", "hold bicycle"],
        ),
    ],
)
def test_pairs_and_their_texts(interactions, texts, vocabulary):
    scene = build_scene(interactions, vocabulary, merge_iou=0.6)
    assert [pair.text(vocabulary) for pair in scene.pairs] == texts


@pytest.mark.parametrize(
    ("merge_iou", "entities"), [(0.6, 2), (0.99, 3), (2.0, 3)], ids=["merged", "high", "never"]
)
def test_near_identical_boxes_of_one_person(merge_iou, entities, vocabulary):
    interactions = [acts(A, RIDE, BIKE, BICYCLE), acts(A_AGAIN, HOLD, BIKE, BICYCLE)]
    scene = build_scene(interactions, vocabulary, merge_iou=merge_iou)
    assert len(scene.entities) == entities
    assert scene.entities[0].box.tolist() == A  # the first one is drawn


def test_identical_boxes_are_one_whatever_the_limit(vocabulary):
    interactions = [acts(A, RIDE, BIKE, BICYCLE), acts(A, HOLD, BIKE, BICYCLE)]
    assert len(build_scene(interactions, vocabulary, merge_iou=2.0).entities) == 2


def test_boxes_of_different_classes_stay_apart(vocabulary):
    interactions = [acts(A, HOLD, BIKE, BICYCLE), acts(A, HOLD, BIKE, BALL)]
    assert len(build_scene(interactions, vocabulary, merge_iou=0.1).entities) == 3


def test_people_are_numbered_as_they_appear(vocabulary):
    interactions = [acts(FAR, RIDE, BIKE, BICYCLE), acts(A, HUG, FAR, PERSON)]
    others = [(np.array([200.0, 0, 240, 80]), PERSON)]
    scene = build_scene(interactions, vocabulary, merge_iou=0.6, other_boxes=others)
    assert [e.person for e in scene.entities] == [0, -1, 1, -1]


def test_only_humans_of_the_person_class_merge_with_objects(vocabulary):
    scene = build_scene(
        [acts(A, HUG, FAR, PERSON), acts(FAR, HUG, A, PERSON)], vocabulary, merge_iou=0.6
    )
    assert len(scene.entities) == 2
    assert [(p.human, p.object) for p in scene.pairs] == [(0, 1), (1, 0)]


@pytest.mark.parametrize("bad", [[np.nan, 0, 1, 1], [0, 0, np.inf, 1], [0, 0, 1]])
@pytest.mark.parametrize("role", ["human", "object"])
def test_a_box_that_is_none_is_refused(bad, role, vocabulary):
    boxes = (bad, BIKE) if role == "human" else (A, bad)
    with pytest.raises(ValueError, match=f"interaction 1: {role} box"):
        build_scene(
            [acts(A, RIDE, BIKE, BICYCLE), acts(boxes[0], RIDE, boxes[1], BICYCLE)],
            vocabulary,
            merge_iou=0.6,
        )


def test_readable_verbs():
    hico = readable_verbs(hico_det_vocabulary())
    assert hico[hico_det_vocabulary().verbs.index("sit_on")] == "sit on"
    table = dict(zip(vcoco_vocabulary().verbs, readable_verbs(vcoco_vocabulary())))
    assert table["hit_obj"] == "hit" and table["hit_instr"] == "hit with"
    assert table["ride_instr"] == "ride" and table["walk"] == "walk"
    assert table["talk_on_phone_instr"] == "talk on phone"
    assert len(set(table.values())) == len(table)


def test_box_iou_against_counted_pixels():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 12, (40, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(float)
    grids = np.zeros((40, 12, 12), dtype=bool)
    for grid, (x0, y0, x1, y1) in zip(grids, boxes.astype(int)):
        grid[y0:y1, x0:x1] = True
    for row in range(40):
        union = (grids | grids[row]).sum(axis=(1, 2))
        expected = (grids & grids[row]).sum(axis=(1, 2)) / np.maximum(union, 1)
        np.testing.assert_allclose(box_iou(boxes[row], boxes), expected)
