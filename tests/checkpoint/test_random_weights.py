"""Random weights of any part are refused unless the config allows them."""

from __future__ import annotations

import pytest
from detectron2.modeling import build_model
from torch import nn

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.random_weights import refuse_random_weights
from hoi_d2.protocols import stand_ins
from tests.modeling.tiny import tiny_config

NO_ENCODER = ("MODEL.LANGUAGE.ENCODER", "bert-base-uncased", "MODEL.RMLR.CML.ENABLED", True)


def model(**reasons: str) -> nn.Module:
    """A head with weights, and texts that are never part of a checkpoint."""
    module = nn.Module()
    module.head, module.texts = nn.Linear(2, 2), nn.Identity()
    for name, reason in reasons.items():
        getattr(module, name).stand_in = reason
    return module


@pytest.mark.parametrize(
    ("reasons", "parts", "message"),
    [
        ({}, [], ""),
        ({"head": ""}, [], ""),
        ({"head": "no such hub"}, [], ""),  # a checkpoint has filled it
        ({"head": "no such hub"}, ["head"], "no such hub"),
        ({"texts": "hf download x"}, [], "texts.*hf download x"),
        ({}, ["entity_detector"], r"MODEL\.ENTITY_DETECTOR\.WEIGHTS or MODEL\.WEIGHTS"),
        ({}, ["head."], r"head: name weights in MODEL\.WEIGHTS"),
        ({}, [""], "the whole model"),
    ],
)
def test_refused(reasons, parts, message, caplog):
    module = model(**reasons)
    if not message:
        refuse_random_weights(module, parts, allowed=False)
        return
    with pytest.raises(WeightsError, match=message) as error:
        refuse_random_weights(module, parts, allowed=False)
    assert "MODEL.ALLOW_RANDOM_WEIGHTS True" in str(error.value)
    refuse_random_weights(module, parts, allowed=True)
    assert "scores mean nothing" in caplog.text


def test_text_vectors_are_known_before_the_first_step(tmp_path):
    cfg = tiny_config("RmLR", *NO_ENCODER, "MODEL.LANGUAGE.CACHE_DIR", str(tmp_path))
    rmlr = build_model(cfg)
    assert stand_ins(rmlr) == {}
    rmlr.prepare_training()
    assert "RANDOM TEXT VECTORS" in stand_ins(rmlr)["alignment.knowledge"]
    assert rmlr.alignment.knowledge.sentence.isfinite().all()
