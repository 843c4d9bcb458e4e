"""The judgement of interactions, simulated detections and confusions, on a few boxes."""

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.data.vocabulary import vcoco_vocabulary
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.modeling.entity_detector.interface import Entities
from hoi_d2.modeling.meta_arch.layout import packed
from hoi_d2.structures import make_hoi_instances
from tests.modeling.meta_arch.test_layout_rmlr import OPTIONS, inputs
from tests.modeling.tiny import tiny_config

_PROJECT = Path(__file__).parents[2] / "projects" / "photographs"
_MODULES = ("annotated", "roles", "simulated", "confusions")


@pytest.fixture
def project(monkeypatch):
    monkeypatch.syspath_prepend(str(_PROJECT))
    import annotated
    import confusions
    import roles
    import simulated

    yield SimpleNamespace(
        annotated=annotated, confusions=confusions, roles=roles, simulated=simulated
    )
    for name in _MODULES:
        sys.modules.pop(name, None)


HUMAN, OTHER, BALL, FAR = [0, 0, 40, 80], [60, 0, 90, 80], [30, 30, 50, 50], [0, 80, 9, 90]
KICK, HOLD = (vcoco_vocabulary().verbs.index(v) for v in ("kick_obj", "hold_obj"))
RIGHT, WRONG, UNKNOWN = 1, 0, -1


def predicted(found):
    """Rows (human box, object box, verb) with falling scores."""
    number = len(found)
    ids = torch.zeros(number, dtype=torch.int64)
    boxes = [torch.tensor([row[i] for row in found]).float().reshape(-1, 4) for i in (0, 1)]
    hois = make_hoi_instances(
        image_size=(100, 100),
        human_boxes=boxes[0],
        object_boxes=boxes[1],
        object_classes=ids + 32,
        verb_classes=torch.tensor([row[2] for row in found], dtype=torch.int64),
        hoi_classes=ids - 1,
        scores=torch.linspace(0.9, 0.2, number),
        pair_indices=ids[:, None].repeat(1, 2),
    )
    return HOIPrediction(np.zeros((100, 100, 3), np.uint8), None, hois, vcoco_vocabulary(), "")


@pytest.mark.parametrize(
    ("found", "verdicts"),
    [
        ([], []),
        ([(HUMAN, BALL, KICK)], [RIGHT]),
        ([(HUMAN, BALL, HOLD)], [WRONG]),
        ([(HUMAN, FAR, KICK)], [WRONG]),
        ([(OTHER, BALL, KICK)], [UNKNOWN]),
        ([(FAR, BALL, KICK)], [UNKNOWN]),
        ([(HUMAN, BALL, KICK), (HUMAN, BALL, KICK)], [RIGHT, WRONG]),
        ([(HUMAN, FAR, KICK), (HUMAN, BALL, KICK)], [WRONG, RIGHT]),
    ],
)
def test_judgement_of_interactions(project, found, verdicts):
    boxes = torch.tensor([HUMAN, BALL, OTHER]).float()
    truth = project.annotated.Photograph(
        Path("a.jpg"), "vcoco test", boxes, torch.tensor([0, 32, 0]), [(0, 1, KICK)]
    )
    scores, given = project.roles.judge(predicted(found), truth)
    assert given.tolist() == verdicts and len(scores) == len(found)


def test_counts_by_score(project):
    judged = project.roles.Judged(
        np.array([0.9, 0.35, 0.25, 0.15]), np.array([RIGHT, WRONG, UNKNOWN, RIGHT]), annotated=3
    )
    rows = [line.split() for line in project.roles.count_table(judged).splitlines()[2:]]
    assert [list(map(float, row)) for row in rows] == [
        [0.1, 2, 1, 1, 1],
        [0.2, 1, 1, 1, 2],
        [0.3, 1, 1, 0, 2],
        [0.4, 1, 0, 0, 2],
    ]


def test_photographs_have_boxes_in_their_own_pixels(project, real_data):
    photographs = project.annotated.annotated_photographs(real_data)
    assert len(photographs) == 18 and sum(len(p.pairs) for p in photographs) == 34
    (squashed,) = (p for p in photographs if p.path.name == "COCO_train2014_000000000165.jpg")
    assert squashed.boxes.max() <= 224.5  # its file is 224 x 224, annotated on 640 x 536


def test_simulated_detections_are_noisy_and_the_same_again(project):
    torch.manual_seed(0)
    net = build_model(tiny_config("LayoutRmLR", *OPTIONS)).eval()
    net.noise.share, net.max_train_pairs = 1.0, 0
    given, found = inputs(is_train=False), []
    for _ in range(2):
        torch.manual_seed(1)
        found.append(project.simulated.simulated_detections(net, given))
    torch.manual_seed(1)
    whole = net.as_found(packed([x["instances"] for x in given]), len(given))
    numbers = whole.images.bincount(minlength=len(given)).tolist()
    assert isinstance(found[0], Entities) and len(set(numbers)) > 1
    assert [len(instances) for instances in found[0].instances] == numbers
    for one, two, image in zip(found[0].instances, found[1].instances, given):
        assert torch.equal(one.pred_boxes.tensor, two.pred_boxes.tensor)
        assert one.image_size == image["instances"].image_size
        assert ((one.scores > 0) & (one.scores < 1)).all()


@pytest.mark.parametrize("number", [0, 1, 130])
def test_every_record_is_in_one_batch(project, number):
    batches = list(project.simulated.batches([{"id": i} for i in range(number)], dict))
    assert sorted(r["id"] for batch in batches for r in batch) == list(range(number))
    assert max(map(len, batches), default=0) <= project.simulated.BATCH


def test_confusions_are_possible_verbs_in_front(project):
    verbs = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    possible = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0]]).bool()
    scores = torch.tensor([[0.5, 0.1, 0.3, 0.9], [0.2, 0.3, 0.1, 0.9]])
    pairs = project.confusions.JudgedPairs(torch.tensor([7, 7]), verbs, possible, scores)
    above, together, annotated = project.confusions.confusions(pairs, [0, 1, 2, 3])
    assert above == Counter({(7, 1, 2): 1, (7, 0, 1): 1})
    assert together == Counter({(7, 0, 1): 1, (7, 1, 0): 1})
    assert annotated == Counter({(7, 0): 2, (7, 1): 1})
    without = project.confusions.confusions(pairs, [0, 1])[0]
    assert without == Counter({(7, 0, 1): 1})
