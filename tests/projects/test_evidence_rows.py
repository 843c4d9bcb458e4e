"""The study of rows and losses: what it trains on, what must not move, and how it is scored."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode

from hoi_d2.data.vocabulary import hico_det_vocabulary
from hoi_d2.evaluation.scorers import HICODetScorer

_PROJECT = Path(__file__).parents[2] / "projects" / "evidence_rows"
_MODULES = ("pairs", "report", "scorer", "trunk")
_BICYCLE = 1  # COCO's
VOCABULARY = hico_det_vocabulary()


@pytest.fixture
def project(monkeypatch):
    monkeypatch.syspath_prepend(str(_PROJECT))
    import pairs
    import report
    import scorer
    import trunk

    monkeypatch.setattr(trunk, "_BATCH", 2)
    yield {"pairs": pairs, "report": report, "scorer": scorer, "trunk": trunk}
    for name in _MODULES:
        sys.modules.pop(name)


def record(image_id, verbs=()):
    """A person on a bicycle, and a second bicycle with nobody."""
    boxes = [(10, 10, 50, 90), (5, 50, 60, 110), (200, 50, 260, 110)]
    hois = [(v, int(VOCABULARY.hoi_of[_BICYCLE, v])) for v in verbs]
    return {
        "file_name": f"HICO_train2015_{image_id:08}.jpg",
        "image_id": image_id,
        "height": 120,
        "width": 300,
        "annotations": [
            {"bbox": [*b], "bbox_mode": BoxMode.XYXY_ABS, "category_id": _BICYCLE * (i > 0)}
            for i, b in enumerate(boxes)
        ],
        "hoi_annotations": [{"human": 0, "object": 1, "verb": v, "hoi": c} for v, c in hois],
    }


RIDE, HOLD = (VOCABULARY.verbs.index(v) for v in ("ride", "hold"))
RECORDS = [record(1, [RIDE]), record(2, [RIDE, HOLD]), record(3, [HOLD]), record(4)]


def test_every_human_is_paired_and_labelled(project):
    seen = project["pairs"].look(RECORDS)
    assert seen.images.tolist() == [1, 1, 2, 2, 3, 3, 4, 4] and set(seen.kinds.tolist()) == {1}
    positive = (seen.labels == 1).nonzero().tolist()
    ride, hold = (int(VOCABULARY.hoi_of[_BICYCLE, v]) for v in (RIDE, HOLD))
    assert sorted(positive) == sorted([[0, ride], [2, ride], [2, hold], [4, hold]])
    assert len(seen.candidates[0]) == 8 * (VOCABULARY.hois[:, 0] == _BICYCLE).sum()


def test_scores_are_the_evaluators(project):
    torch.manual_seed(0)
    seen = project["pairs"].look(RECORDS[::-1])  # not in the order of the images' ids
    logits = torch.randn(len(seen), 600)
    ours = project["scorer"].Scorer(RECORDS, seen).average_precision(logits)
    pair, results = seen.candidates
    results = replace(results, scores=logits[pair, results.hoi_classes].numpy())
    theirs = HICODetScorer(RECORDS, VOCABULARY).score(results).details.ap_default
    np.testing.assert_array_equal(ours, theirs)
    assert ours.any()


@pytest.mark.parametrize("loss", ["LSE-Sign", "BCE", "weighted BCE", "focal"])
def test_unseen_pairs_are_left_out_and_unseen_rows_stay(project, loss):
    trunk = project["trunk"]
    pairs = project["pairs"].look(RECORDS)
    hold = int(VOCABULARY.hoi_of[_BICYCLE, HOLD])
    seen = trunk.Seen.of(pairs, [hold])
    assert set(seen.positive.tolist()) == {0}
    assert not set(seen.negative.tolist()) & {0, 2, 4}
    variant = trunk.Variant("factor", loss, 20)
    torch.manual_seed(3)
    before = trunk.Recogniser(variant, pairs.features.shape[1]).classifier.weight
    model = trunk.train(variant, pairs, seen, seed=3)
    moved = (model.classifier.weight != before).any(dim=1)
    assert not moved[hold] and moved.sum() == 599
    assert (
        trunk.logits_of(trunk.train(variant, pairs, seen, seed=3), variant, pairs).isfinite().all()
    )


def test_a_class_scores_as_its_verb(project):
    trunk = project["trunk"]
    pairs = project["pairs"].look(RECORDS)
    seen = trunk.Seen.of(pairs, [0])
    variant = trunk.Variant(trunk.VERB_ROWS, "LSE-Sign", 20)
    model = trunk.train(variant, pairs, seen, seed=1)
    logits = trunk.logits_of(model, variant, pairs)
    assert model.classifier.weight.shape == (117, trunk.WIDTH)
    verbs = VOCABULARY.hois[:, 1]
    same = np.flatnonzero(verbs == RIDE)
    assert logits.shape == (8, 600) and (logits[:, same] == logits[:, same[:1]]).all()


def test_tables_stand_between_their_marks(project):
    filled = project["report"].filled
    page = "a\n<!-- t -->\nold\n<!-- end of t -->\nb\n"
    assert filled(page, "t", "| 1 |") == "a\n<!-- t -->\n| 1 |\n<!-- end of t -->\nb\n"
    with pytest.raises(ValueError, match="no marks"):
        filled(page, "u", "| 1 |")
