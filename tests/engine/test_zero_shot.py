"""A zero-shot training set from the loader to the printed metrics, for both kinds of heads."""

from __future__ import annotations

import logging
from functools import partial

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from hoi_d2.config.load import load_config
from hoi_d2.data.toy.dataset import drawn_hois, toy_metadata
from hoi_d2.data.zero_shot import without_unseen
from hoi_d2.engine.trainer import HOITrainer
from tests import toy_few

UNSEEN = drawn_hois()[::2]


@pytest.fixture
def zero_shot_sets():
    groups = {"unseen": UNSEEN, "seen": drawn_hois()[1::2]}
    parts = {
        "train": lambda: without_unseen(toy_few.load("train"), UNSEEN),
        "val": partial(toy_few.load, "val"),
    }
    for part, load in parts.items():
        DatasetCatalog.register(f"toy_zero_{part}", load)
        metadata = toy_metadata() | {"hoi_groups": groups, "evaluator_type": "hico_det"}
        MetadataCatalog.get(f"toy_zero_{part}").set(**metadata)
    yield
    for part in parts:
        DatasetCatalog.pop(f"toy_zero_{part}")
        MetadataCatalog.pop(f"toy_zero_{part}")


@pytest.mark.parametrize("config", ["toy/rmlr.yaml", "toy/clip_pairs.yaml"])
def test_trains_and_prints_unseen_seen_and_all(config, zero_shot_sets, tmp_path, caplog):
    options = [*toy_few.OVERRIDES, "DATASETS.TRAIN", ("toy_zero_train",), "OUTPUT_DIR", tmp_path]
    options += ["DATASETS.TEST", ("toy_zero_val",), "SOLVER.MAX_ITER", 1]
    trainer = HOITrainer(load_config(config, [*map(str, options)]))
    trainer.resume_or_load(resume=False)
    learnt = trainer.model.targets.learnt_verbs
    vocabulary = trainer.model.vocabulary
    assert not any(learnt[tuple(vocabulary.hois[hoi])] for hoi in UNSEEN)
    assert learnt.sum() == vocabulary.valid_verbs.sum() - len(UNSEEN)
    caplog.set_level(logging.INFO)
    metrics = trainer.train()["hico_det"]
    for group in ("full", "seen", "unseen"):
        assert f"hico_det/mAP_default_{group} " in caplog.text
    mean = (metrics["mAP_default_seen"] + metrics["mAP_default_unseen"]) / 2  # 28 classes each
    assert metrics["mAP_default_full"] == pytest.approx(mean)
