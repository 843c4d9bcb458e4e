"""The study's short cut: what the frozen parts see, computed once, gives the model's own loss."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.config.load import load_config
from hoi_d2.data.loading.build import build_mapper
from tests import toy_few

_PROJECT = Path(__file__).parents[2] / "projects" / "clip_pairs"


@pytest.fixture
def seen(monkeypatch):
    monkeypatch.syspath_prepend(str(_PROJECT))
    import seen

    yield seen
    sys.modules.pop("seen")


def test_loss_and_results_are_those_of_the_model(seen):
    toy_few.register()
    options = ["MODEL.DEVICE", "cpu", "INPUT.RANDOM_FLIP", "none"]
    cfg = load_config("toy/clip_pairs.yaml", options)
    model = build_model(cfg)
    HOICheckpointer(model).load(cfg.MODEL.WEIGHTS, strict=False)
    mapper = build_mapper(cfg, is_train=True)
    batch = [mapper(record) for record in DatasetCatalog.get("toy_few_val")]
    found = seen.look(cfg, model, "toy_few_val", for_training=True)
    with torch.no_grad():
        right = model.train()(batch)["loss_verb"]
        logits = model.verb_logits(model.class_logits(found.features), found)
        scores = found.scores**model.prior_exponent
        priors = model.targets.priors(scores, found.object_classes)
        loss = model.verb_loss(logits, priors, found.verbs.float())
    assert found.first[-1] == len(found.features) > 0 and right > 0
    torch.testing.assert_close(loss, right)
