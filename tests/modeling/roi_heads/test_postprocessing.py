"""Pairs and scores -> what is given out: which, where, and how many."""

import pytest
import torch
from detectron2.structures import Boxes, Instances

from hoi_d2.modeling.roi_heads.pair_generator import PairGenerator
from hoi_d2.modeling.roi_heads.postprocessing import best_objects, hoi_postprocess

BOXES = [[0.0, 0, 50, 20], [40, 10, 100, 50], [-10, -5, 120, 60]]  # the last is clipped
SIZE, OUTPUT = (50, 100), (200, 300)  # four times as high, three times as wide
HOI_OF = torch.tensor([[0, 1], [2, -1]])


def pairs_of(number: int):
    found = Instances(
        SIZE,
        pred_boxes=Boxes(torch.tensor(BOXES[:number]).reshape(-1, 4)),
        scores=torch.tensor([0.9, 0.8, 0.7])[:number],
        pred_classes=torch.tensor([0, 1, 1])[:number],
    )
    return PairGenerator(nms_threshold=1.0)([found])


def outputs(scores, **options):
    scores = torch.tensor(scores).reshape(-1, 2)
    settings = {"hoi_of": HOI_OF, "score_threshold": 0.0, "max_detections": 0} | options
    (result,) = hoi_postprocess(pairs_of(1 + len(scores)), scores, [OUTPUT], **settings)
    return result


@pytest.mark.parametrize(
    "scores, options, kept",
    [
        ([], {}, []),
        ([[0.0, 0.0]], {}, []),
        ([[0.5, 0.0]], {}, [0.5]),
        ([[0.5, 0.25], [0.75, 0.1]], {}, [0.75, 0.5, 0.25, 0.1]),
        ([[0.5, 0.25], [0.75, 0.1]], {"score_threshold": 0.25}, [0.75, 0.5, 0.25]),  # itself stays
        ([[0.5, 0.25], [0.75, 0.1]], {"max_detections": 2}, [0.75, 0.5]),
        ([[0.5, 0.25], [0.75, 0.1]], {"max_detections": 9}, [0.75, 0.5, 0.25, 0.1]),
    ],
)
def test_which_are_kept(scores, options, kept):
    found = outputs(scores, **options)["hoi_instances"]
    assert sorted(found.scores.tolist(), reverse=True) == pytest.approx(kept)


def test_boxes_are_in_the_original_image_and_inside():
    result = outputs([[0.5, 0.0], [0.75, 0.0]])
    expected = [[0.0, 0, 150, 80], [120, 40, 300, 200], [0, 0, 300, 200]]
    assert result["instances"].pred_boxes.tensor.tolist() == expected
    assert result["instances"].image_size == result["hoi_instances"].image_size == OUTPUT
    for found in (result["hoi_instances"][i] for i in range(2)):
        human, object_ = found.pair_indices[0].tolist()
        assert found.human_boxes.tensor[0].tolist() == expected[human]
        assert found.object_boxes.tensor[0].tolist() == expected[object_]
        assert found.hoi_classes.tolist() == [2]


def test_boxes_a_little_outside_are_clipped():
    pairs = pairs_of(2)
    pairs.instances[0].pred_boxes.tensor[1] = torch.tensor([-3.0, -3, 103, 53])
    (result,) = hoi_postprocess(
        pairs, torch.ones(1, 2), [OUTPUT], hoi_of=HOI_OF, score_threshold=0.0, max_detections=0
    )
    assert result["instances"].pred_boxes.tensor[1].tolist() == [0, 0, 300, 200]


@pytest.mark.parametrize(
    ("pairs", "scores", "kept"),
    [
        ([], [], []),
        ([[0, 2]], [[0.5, 0.1]], [[1, 1]]),
        ([[0, 2], [0, 3]], [[0.5, 0.1], [0.4, 0.2]], [[1, 0], [0, 1]]),  # two bicycles
        ([[0, 2], [1, 3]], [[0.5, 0.1], [0.4, 0.2]], [[1, 1], [1, 1]]),  # of two people
        ([[0, 2], [0, 4]], [[0.5, 0.1], [0.4, 0.2]], [[1, 1], [1, 1]]),  # a bicycle and a cup
        ([[0, 2], [0, 3]], [[0.5, 0.0], [0.5, 0.0]], [[1, 1], [1, 1]]),  # a tie
    ],
)
def test_best_objects(pairs, scores, kept):
    classes = torch.tensor([0, 0, 1, 1, 41])
    index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    found = best_objects(torch.tensor(scores).reshape(-1, 2), index, classes)
    assert found.int().tolist() == kept
