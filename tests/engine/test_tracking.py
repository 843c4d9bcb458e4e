"""People keep their number from frame to frame; interactions have an id and a duration."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.engine.prediction import HOIPrediction
from hoi_d2.engine.tracking import InteractionLog, PersonTracker
from hoi_d2.structures import make_hoi_instances

HOLD, WASH = 0, 1
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


def has_byte_track() -> bool:
    if importlib.util.find_spec("supervision") is None:
        return False
    import supervision

    return hasattr(supervision, "ByteTrack") or importlib.util.find_spec("trackers") is not None


@pytest.mark.skipif(not has_byte_track(), reason="the extra [video] is not installed")
def test_numbers_stay_with_people():
    tracker, seen = PersonTracker(frame_rate=10), []
    assert tracker.follow(prediction([], [])).triplets == []
    for frame in range(6):  # two people walk; their order in the output changes
        people = [(10 + 2.0 * frame, 0.9), (100 - 2.0 * frame, 0.8)]
        order = [0, 1] if frame % 2 else [1, 0]
        found = tracker.follow(
            prediction([people[i] for i in order], [(order.index(0), HOLD), (order.index(1), WASH)])
        )
        seen.append([t.person_id for t in found.triplets])
    left, right = zip(*seen[2:])
    assert len(set(left)) == len(set(right)) == 1
    assert left[0] is not None and left[0] != right[0] and right[0] is not None


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r"hoi-d2\[video\]"):
        PersonTracker(frame_rate=10)


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
