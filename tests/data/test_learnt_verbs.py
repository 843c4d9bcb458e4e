"""The verbs that a training set teaches of each object."""

from __future__ import annotations

import numpy as np
import pytest

from hoi_d2.config.load import load_config
from hoi_d2.data.builtin import register_all
from hoi_d2.data.catalog import learnt_verbs_of, vocabulary_of
from hoi_d2.data.vocabulary import hico_det_unseen_hois


@pytest.mark.parametrize(
    ("sets", "left_out", "verbs_left", "objects_left"),
    [
        ((), 0, 117, 80),
        (("hico_det_train",), 0, 117, 80),
        (("vcoco_trainval",), 0, 29, 80),
        (("hico_det_train_rf_uc",), 120, 117, 80),
        (("hico_det_train_nf_uc",), 120, 117, 80),
        (("hico_det_train_uo",), 100, 112, 68),  # five verbs go with these objects alone
        (("hico_det_train_uv",), 84, 97, 80),
        (("hico_det_train_uv", "hico_det_train"), 0, 117, 80),  # seen in one of them
        (("hico_det_train_uv", "hico_det_train_uv"), 84, 97, 80),
    ],
)
def test_unseen_classes_are_left_out(sets, left_out, verbs_left, objects_left):
    register_all()
    cfg = load_config("")
    cfg.DATASETS.TRAIN, cfg.MODEL.HOI.VOCABULARY = sets, "" if sets else "hico_det"
    vocabulary = vocabulary_of(cfg)
    learnt = learnt_verbs_of(cfg, vocabulary)
    assert vocabulary.valid_verbs.sum() - learnt.sum() == left_out
    assert not (learnt & ~vocabulary.valid_verbs).any()
    assert learnt.any(axis=0).sum() == verbs_left
    if vocabulary.hois.size:
        assert learnt.any(axis=1).sum() == objects_left
        if left_out:
            unseen = hico_det_unseen_hois(sets[0].removeprefix("hico_det_train_"))
            assert not any(learnt[tuple(vocabulary.hois[hoi])] for hoi in unseen)


def test_own_classes_are_all_learnt():
    register_all()
    cfg = load_config("")
    cfg.DATASETS.TRAIN, cfg.MODEL.HOI.CLASSES = ("hico_det_train_uv",), ["riding a horse"]
    vocabulary = vocabulary_of(cfg)
    assert np.array_equal(learnt_verbs_of(cfg, vocabulary), vocabulary.valid_verbs)
