"""A checkpoint of another config is refused with the config that it belongs to."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.errors import WeightsError
from tests.modeling.tiny import tiny_config

WIDER = ("MODEL.RMLR.IRM.HIDDEN_DIM", 64, "MODEL.RMLR.IRE.HIDDEN_DIM", 32)


def saved(tmp_path, *options: object) -> str:
    cfg = tiny_config("RmLR", *options, "OUTPUT_DIR", "output/first")
    HOICheckpointer(build_model(cfg), str(tmp_path)).save("model", config=cfg.dump())
    return str(tmp_path / "model.pth")


def load(path: str, *options: object) -> None:
    HOICheckpointer(build_model(tiny_config("RmLR", *options))).load(path, strict=False)


def test_its_own_config(tmp_path):
    load(saved(tmp_path))


def test_other_classes_alone_are_loaded(tmp_path):
    """The last layer has other verbs: the rest is a start."""
    load(saved(tmp_path), "MODEL.HOI.VOCABULARY", "vcoco")


@pytest.mark.parametrize(
    "options",
    [
        WIDER,
        ("MODEL.RMLR.HEADS", "UPTHeads", "MODEL.META_ARCHITECTURE", "UPT"),
    ],
)
def test_another_config(tmp_path, options):
    with pytest.raises(WeightsError, match=r"model\.pth belongs to another config.*output/first"):
        load(saved(tmp_path), *options)


def test_a_file_without_its_config(tmp_path):
    path = saved(tmp_path)
    data = torch.load(path, weights_only=True)
    torch.save({"model": data["model"]}, path)
    with pytest.raises(WeightsError, match=r"the config that it was trained with"):
        load(path, *WIDER)
