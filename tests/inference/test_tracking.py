"""People keep their number from frame to frame; interactions have an id and a duration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from hoi_d2 import get_model
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.inference.interaction_log import InteractionLog
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.inference.tracking import PersonTracker
from hoi_d2.structures import make_hoi_instances
from tests.demo.toy_clip import crossing

HOLD, WASH = 0, 1
RATE = 10
WORDS = Vocabulary.from_hois("v", ("person", "mug"), ("hold", "wash"), [(1, 0), (1, 1)])


def prediction(
    people: list[tuple[float, float]], doing: list[tuple[int, int]], *, ids=None
) -> HOIPrediction:
    """People at x with a score, one mug; `doing` are (person, verb)."""
    boxes = [[x, 10.0, x + 40, 110.0] for x, _ in people] + [[150.0, 50, 170, 70]]
    instances = Instances((120, 200))
    instances.pred_boxes = Boxes(torch.tensor(boxes))
    instances.scores = torch.tensor([s for _, s in people] + [0.9])
    instances.pred_classes = torch.tensor([0] * len(people) + [1])
    pairs = torch.tensor([[p, len(people)] for p, _ in doing], dtype=torch.int64).reshape(-1, 2)
    hois = make_hoi_instances(
        image_size=(120, 200),
        human_boxes=instances.pred_boxes.tensor[pairs[:, 0]],
        object_boxes=instances.pred_boxes.tensor[pairs[:, 1]],
        object_classes=torch.ones(len(doing), dtype=torch.int64),
        verb_classes=torch.tensor([v for _, v in doing], dtype=torch.int64),
        hoi_classes=torch.tensor([v for _, v in doing], dtype=torch.int64),
        scores=torch.full((len(doing),), 0.5),
        pair_indices=pairs,
    )
    if ids is not None:
        hois.person_ids = torch.tensor(ids, dtype=torch.int64)
    return HOIPrediction(np.zeros((120, 200, 3), np.uint8), instances, hois, WORDS)


def numbers_of(frames: list[list[float | tuple[float, float]]]) -> list[list[int]]:
    """The numbers of people, 40 x 100 pixels, given by x or by (x, score), frame after frame."""
    tracker, seen = PersonTracker(frame_rate=RATE), []
    for people in frames:
        rows = [p if isinstance(p, tuple) else (p, 0.9) for p in people]
        boxes = np.array([[x, 10, x + 40, 110] for x, _ in rows], dtype=float).reshape(-1, 4)
        seen.append(tracker.numbers(boxes, np.array([s for _, s in rows])).tolist())
    return seen


@pytest.mark.parametrize(
    ("frames", "last"),
    [
        ([], None),
        ([[]], []),
        ([[10.0, 100.0]], [0, 1]),  # from the first frame on
        ([[10.0, 100.0], [101.0, 12.0]], [1, 0]),  # whatever their order in the output
        ([[10.0], *[[]] * 9, [12.0]], [0]),  # lost for less than a second
        ([[10.0], *[[]] * 10, [12.0]], [1]),  # for more
        ([[10.0], [(11.0, 0.15)], [12.0]], [0]),  # an unsure box follows somebody,
        ([[(10.0, 0.15)]], [-1]),  # but does not begin somebody,
        ([[10.0], [(11.0, 0.05)]], [-1]),  # and noise does not even follow
        ([[10.0, (12.0, 0.5)], [11.0, (13.0, 0.6)]], [0, 0]),  # two boxes of one person
        ([[10.0], [400.0]], [1]),  # nobody jumps
    ],
)
def test_numbers(frames, last):
    seen = numbers_of(frames)
    assert seen[-1:] == ([] if last is None else [last])


def test_two_who_pass_each_other_keep_their_numbers():
    frames = [[10.0 + 8 * t, 170.0 - 8 * t] for t in range(21)]
    assert numbers_of(frames) == [[0, 1]] * 21


def test_one_who_is_hidden_while_both_walk_keeps_the_number():
    frames = [[10.0 + 8 * t, 170.0 - 8 * t] for t in range(21)]
    for t in range(8, 13):
        frames[t] = frames[t][:1]
    assert [row[-1] for row in numbers_of(frames)[13:]] == [1] * 8


def test_one_who_walks_and_pauses_keeps_the_number():
    xs = [10.0 + 6 * min(t, 10) + 6 * max(t - 20, 0) for t in range(31)]
    assert numbers_of([[x] for x in xs]) == [[0]] * 31


def test_boxes_without_area_harm_nobody():
    tracker = PersonTracker(frame_rate=RATE)
    flat = np.array([[5.0, 5, 5, 5], [10, 10, 50, 110]])
    for _ in range(3):
        assert tracker.numbers(flat, np.array([0.9, 0.9]))[1] == 1


def test_people_of_a_drawn_clip():
    """A skater passes somebody who waits under an umbrella and is hidden for half a second."""
    predictor = get_model("toy/rmlr")
    tracker, log, doing = PersonTracker(frame_rate=RATE), InteractionLog(RATE), {}
    for number, image in enumerate(crossing(20)):
        found = tracker.follow(predictor(image)).select(score_threshold=0.2)
        log.add(number, found)
        for t in found.triplets:
            doing.setdefault(t.object, set()).add(t.person_id)
    assert doing["skateboard"] != doing["umbrella"]
    assert len(doing["skateboard"]) == len(doing["umbrella"]) == 1, doing
    rides = [r for r in log.rows() if (r["verb"], r["object"]) == ("ride", "skateboard")]
    assert len(rides) == 1 and rides[0]["person_id"] in doing["skateboard"]
    assert rides[0]["duration_s"] == 2.0 and rides[0]["frames"] >= 18
    holds = [r for r in log.rows() if (r["verb"], r["object"]) == ("hold", "umbrella")]
    assert len(holds) == 1, "half a second out of sight is no end of an interaction"
    assert holds[0]["frames"] < 20 and holds[0]["duration_s"] == 2.0


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ({}, []),
        ({3: [(7, HOLD)]}, [(7, "hold", 0.3, 0.1, 1)]),
        ({0: [(7, HOLD)], 4: [(7, HOLD)]}, [(7, "hold", 0.0, 0.5, 2)]),  # a gap of less than 1 s
        ({0: [(7, HOLD)], 20: [(7, HOLD)]}, [(7, "hold", 0.0, 0.1, 1), (7, "hold", 2.0, 0.1, 1)]),
        (
            {0: [(7, HOLD), (8, WASH)], 1: [(8, WASH)]},
            [(7, "hold", 0.0, 0.1, 1), (8, "wash", 0.0, 0.2, 2)],
        ),
        ({0: [(-1, HOLD)]}, []),  # nobody that is followed
    ],
)
def test_interactions_have_a_duration(frames, expected):
    log = InteractionLog(frame_rate=10)
    for number, doing in frames.items():
        people = [(10.0 + 40 * i, 0.9) for i in range(len(doing))]
        verbs = [(i, verb) for i, (_, verb) in enumerate(doing)]
        log.add(number, prediction(people, verbs, ids=[person for person, _ in doing]))
    rows = log.rows()
    assert [r["id"] for r in rows] == list(range(len(expected)))
    keys = ("person_id", "verb", "start_s", "duration_s", "frames")
    assert [tuple(r[k] for k in keys) for r in rows] == expected
