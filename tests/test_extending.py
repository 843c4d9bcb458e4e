"""The code of docs/extending.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY, ROI_HEADS_REGISTRY, build_model

from hoi_d2.config.load import load_config
from hoi_d2.data.images import read_dataset_image
from hoi_d2.data.toy.dataset import toy_record
from hoi_d2.demo.web.session import WebSession
from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.model_zoo import configs_root
from hoi_d2.modeling.entity_detector.build import ENTITY_DETECTOR_REGISTRY
from hoi_d2.modeling.losses import VERB_LOSS_REGISTRY
from tests.modeling.image_encoder.small_encoders import CLIP_VIT, VIT
from tests.modeling.tiny import tiny_config
from tests.small_configs import annotated_inputs

PAGE = Path(__file__).resolve().parents[1] / "docs" / "extending.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REGISTRIES = (
    META_ARCH_REGISTRY,
    ROI_HEADS_REGISTRY,
    VERB_LOSS_REGISTRY,
    ENTITY_DETECTOR_REGISTRY,
)


def block(word: str) -> str:
    """The one block of code that holds the word."""
    [code] = [code for _, code in BLOCK.findall(PAGE.read_text()) if word in code]
    return code


@pytest.fixture(autouse=True)
def clean_registries():
    """What a block registers is gone afterwards."""
    before = [set(registry._obj_map) for registry in REGISTRIES]
    yield
    for registry, names in zip(REGISTRIES, before):
        for name in set(registry._obj_map) - names:
            del registry._obj_map[name]
    if "my_set" in DatasetCatalog:
        DatasetCatalog.remove("my_set")
        MetadataCatalog.pop("my_set", None)


@pytest.fixture
def config(tmp_path, monkeypatch) -> str:
    """The page's config, with the file that it imports in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(configs_root())
    (tmp_path / "my_parts.py").write_text(block("VERB_LOSS_REGISTRY"))
    (tmp_path / "my_model.yaml").write_text(block("IMPORTS"))
    return "my_model.yaml"


def test_a_head_and_a_loss(config):
    cfg = load_config(config, ["MODEL.DEVICE", "cpu", "MODEL.ALLOW_RANDOM_WEIGHTS", True])
    model = build_model(cfg)
    kinds = type(model.interaction_heads).__name__, type(model.verb_loss).__name__
    assert kinds == ("ScaledHeads", "VerbBCE")
    inputs = annotated_inputs(117)
    losses = model.train()(inputs)
    sum(losses.values()).backward()
    assert losses["loss_verb"] > 0 and model.interaction_heads.scale.grad.isfinite()
    with torch.no_grad():
        outputs = model.eval()(inputs)
    assert all(output["hoi_instances"].scores.isfinite().all() for output in outputs)
    prediction = HOIPredictor(cfg)(np.zeros((64, 80, 3), dtype=np.uint8))
    assert prediction.image.shape == (64, 80, 3)


def test_a_model(tmp_path):
    """A subclass has the capabilities of its model: predictor and web page take it."""
    exec(block("META_ARCH_REGISTRY"), {})
    options = ["MODEL.META_ARCHITECTURE", "CautiousRmLR"]
    predictor = HOIPredictor.from_config("toy/rmlr.yaml", options)
    image = read_dataset_image(toy_record("val", 1))[:, :, ::-1]
    cv2.imwrite(str(tmp_path / "scene.png"), image)
    found = WebSession(lambda name: predictor).analyse(tmp_path / "scene.png", "mine")
    assert len(found.prediction.hoi_instances)
    usual = HOIPredictor.from_config("toy/rmlr.yaml")
    ours, theirs = predictor(image).triplets, usual(image).triplets
    assert theirs and ours and ours[0].score < theirs[0].score


def test_a_detector():
    exec(block("ENTITY_DETECTOR_REGISTRY"), {})
    cfg = tiny_config("DEFR-Det", "MODEL.ENTITY_DETECTOR.NAME", "WholeImage")
    cfg.merge_from_list(["MODEL.CLASSIFIER.INIT", "random", "INPUT.SQUARE_SIZE", 32])
    cfg.MODEL.IMAGE_ENCODER.NAME, cfg.MODEL.IMAGE_ENCODER.OPTIONS = CLIP_VIT, CfgNode(VIT)
    model = build_model(cfg).eval()
    with torch.no_grad():
        [output] = model(annotated_inputs(117)[:1])
    assert output["instances"].pred_boxes.tensor.tolist() == [[0, 0, 160, 128]]


def test_a_data_set():
    exec(block("DatasetCatalog"), {})
    assert DatasetCatalog.get("my_set") == [] and MetadataCatalog.get("my_set").vocabulary
