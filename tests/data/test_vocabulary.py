"""The class lists that ship with the package, recomputed from the real annotations."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from hoi_d2.data.datasets.hico import POSITIVE, read_image_labels
from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.datasets.vcoco import load_vcoco
from hoi_d2.data.vocabulary import (
    ZERO_SHOT_SPLITS,
    coco_objects,
    hico_det_rare_hois,
    hico_det_unseen_hois,
    hico_det_vocabulary,
    hico_few_shot_hois,
    upt_vcoco_verbs,
    upt_vcoco_vocabulary,
    vcoco_actions,
    vcoco_vocabulary,
)
from hoi_d2.data.zero_shot import without_unseen


def test_sizes():
    hico, vcoco = hico_det_vocabulary(), vcoco_vocabulary()
    assert (len(hico.objects), len(hico.verbs), len(hico.hois)) == (80, 117, 600)
    assert len(set(hico.verbs)) == len(set(hico.verbs_ing)) == 117
    assert all("ing" in v for v in hico.verbs_ing if v != "no_interaction")
    assert hico.verbs[57] == "no_interaction"
    assert list(hico.verbs) == sorted(hico.verbs)
    assert len(np.unique(hico.hois, axis=0)) == 600
    assert hico.valid_verbs.sum() == 600
    assert (len(vcoco.objects), len(vcoco.verbs), len(vcoco.hois)) == (80, 29, 0)
    assert len(vcoco_actions()) == 26
    assert vcoco.objects == hico.objects


def test_roles_of_vcoco():
    verbs = vcoco_vocabulary().verbs
    with_object = [v for v in verbs if v.endswith(("_obj", "_instr"))]
    assert [v for v in verbs if v not in with_object] == ["stand", "walk", "run", "smile"]
    assert len(with_object) == 25 and "point_instr" in with_object
    roles = Counter(v.rsplit("_", 1)[0] for v in with_object)
    assert sorted(a for a, count in roles.items() if count == 2) == ["cut", "eat", "hit"]
    two = [v for v in verbs if v.startswith(("hit_", "eat_", "cut_"))]
    assert two == ["hit_instr", "hit_obj", "eat_obj", "eat_instr", "cut_instr", "cut_obj"]


def test_what_upt_takes_to_be_possible_on_vcoco(test_data):
    """Its 24 action-roles in its order, each with the objects of the annotated pairs."""
    whole, theirs = vcoco_vocabulary(), upt_vcoco_vocabulary()
    assert theirs.verbs == whole.verbs and theirs.objects == whole.objects
    valid = np.zeros_like(whole.valid_verbs)
    for part in ("trainval", "test"):
        data = json.loads((test_data / f"vcoco/instances_vcoco_{part}.json").read_text())
        names = [name.replace(" ", "_") for name in data["classes"]]
        assert tuple(names) == upt_vcoco_verbs()
        assert data["objects"] == ["background", *coco_objects()]
        for image in data["annotations"]:
            for action, found in zip(image["actions"], image["objects"]):
                valid[found - 1, whole.verbs.index(names[action])] = True
    assert np.array_equal(theirs.valid_verbs, valid)
    assert not (valid & ~whole.valid_verbs).any()


def test_round_trips():
    hico = hico_det_vocabulary()
    assert all(hico.hoi_of[o, v] == c for c, (o, v) in enumerate(hico.hois))
    assert (hico.hoi_of >= 0).sum() == 600


def test_real_counts_of_hico_det(test_data):
    """The rare list and every class come from the annotations."""
    train = load_hico_det(test_data / "hico_det/trainval_hico.json")
    counts = Counter(p["hoi"] for r in train for p in r["hoi_annotations"])
    assert sorted(counts) == list(range(600))
    assert [c for c in range(600) if counts[c] < 10] == list(hico_det_rare_hois())
    assert len(hico_det_rare_hois()) == 138


@pytest.mark.parametrize(
    ("split", "images", "positive", "negative", "ambiguous"),
    [("train", 38118, 70373, 245627, 35238), ("test", 9658, 20268, 61912, 7872)],
)
def test_real_counts_of_hico(test_data, split, images, positive, negative, ambiguous):
    names, labels = read_image_labels(test_data / "hico_det/anno.mat", split)
    assert labels.shape == (images, 600)
    assert len(set(names)) == images
    found = [int((labels == value).sum()) for value in (1, -1, 0, -2)]
    assert found == [positive, negative, ambiguous, labels.size - sum(found[:3])]
    if split == "train":
        positives = (labels == POSITIVE).sum(axis=0)
        for limit, size in ((1, 49), (5, 125), (10, 162)):
            group = hico_few_shot_hois()[limit]
            assert group == tuple(np.flatnonzero(positives <= limit))
            assert len(group) == size


def test_real_vcoco_pairs_are_valid_but_for_few(test_data):
    """The table of valid verbs is the field's `corre_vcoco`; it lacks some annotated pairs."""
    vocabulary = vcoco_vocabulary()
    table = np.load(test_data / "vcoco/corre_vcoco.npy")
    assert np.array_equal(vocabulary.valid_verbs.T, table.astype(bool))
    assert vocabulary.valid_verbs.sum() == 788
    records = load_vcoco(test_data / "vcoco/instances_vcoco_trainval.json")
    pairs = [
        (r["annotations"][p["object"]]["category_id"], p["verb"])
        for r in records
        for p in r["hoi_annotations"]
    ]
    outside = sum(not vocabulary.valid_verbs[o, v] for o, v in pairs)
    assert outside / len(pairs) < 0.02


@pytest.mark.parametrize(
    ("split", "size"), [("rf_uc", 120), ("nf_uc", 120), ("uo", 100), ("uv", 84)]
)
def test_zero_shot_splits_are_what_they_say(split, size):
    hico = hico_det_vocabulary()
    unseen = hico_det_unseen_hois(split)
    assert len(set(unseen)) == len(unseen) == size
    assert list(unseen) == sorted(unseen)
    seen = sorted(set(range(600)) - set(unseen))
    rare = set(hico_det_rare_hois())
    objects, verbs = (set(hico.hois[list(unseen), i].tolist()) for i in (0, 1))
    seen_objects, seen_verbs = (set(hico.hois[seen, i].tolist()) for i in (0, 1))
    if split.endswith("uc"):  # new combinations of seen verbs and seen objects
        assert objects <= seen_objects
        assert verbs <= seen_verbs
        assert len(rare & set(unseen)) == (120 if split == "rf_uc" else 0)
    elif split == "uo":
        assert len(objects) == 12
        assert not objects & seen_objects
    else:
        assert len(verbs) == 20
        assert not verbs & seen_verbs


def test_unknown_zero_shot_split():
    with pytest.raises(KeyError, match="rf_uc"):
        hico_det_unseen_hois("rare_first")


def test_zero_shot_policies():
    def pair(human: int, hoi: int) -> dict:
        return {"human": human, "object": 2, "verb": 0, "hoi": hoi}

    both = {"image_id": 1, "hoi_annotations": [pair(0, 5), pair(0, 6), pair(1, 6)]}
    only = {"image_id": 2, "hoi_annotations": [pair(0, 5)]}
    empty = {"image_id": 3, "hoi_annotations": []}
    records = [both, only, empty]

    def left(**options) -> dict[int, list[int]]:
        kept = without_unseen(records, {5}, **options)
        return {r["image_id"]: [p["hoi"] for p in r["hoi_annotations"]] for r in kept}

    assert without_unseen([], {5}) == []
    assert left() == {1: [6]}  # the first pair has an unseen class: all of it goes
    assert left(policy="label") == {1: [6, 6]}
    assert left(keep_empty=True) == {1: [6], 2: [], 3: []}
    assert len(both["hoi_annotations"]) == 3
    with pytest.raises(ValueError, match="policy"):
        left(policy="image")


def test_real_zero_shot_training_sets(test_data):
    """No unseen class is left, and nothing else is lost but the pairs that had one."""
    train = load_hico_det(test_data / "hico_det/trainval_hico.json")
    for split in ZERO_SHOT_SPLITS:
        unseen = set(hico_det_unseen_hois(split))
        kept = without_unseen(train, unseen)
        left = Counter(p["hoi"] for r in kept for p in r["hoi_annotations"])
        assert not unseen & left.keys()
        # A class that is never the neighbour of an unseen one keeps all its pairs.
        assert len(left) > 550 - len(unseen)


def test_what_people_do_without_an_object():
    vcoco = vcoco_vocabulary()
    alone = [verb for verb, is_alone in zip(vcoco.verbs, vcoco.person_verbs) if is_alone]
    assert alone == ["stand", "walk", "run", "smile"]
    assert not hico_det_vocabulary().person_verbs.any()
