"""NanoDet in exported models: the graph gives torch's numbers, the runner the predictor's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode

pytest.importorskip("onnx", reason="the extra [export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")

from hoi_d2.export.onnx import PLAIN, check_export, default_size, export_model
from hoi_d2.export.runner import ExportedModel
from hoi_d2.inference.predictor import HOIPredictor
from tests.export.test_onnx import same
from tests.modeling.entity_detector.test_nanodet_detector import stop_sign
from tests.modeling.image_encoder.small_encoders import CLIP_VIT, VIT
from tests.modeling.tiny import tiny_config

NODE = "MODEL.ENTITY_DETECTOR.NANODET"
# Smaller and larger than the graph, wide and tall, and limited by INPUT.MAX_SIZE_TEST.
SCENES = [
    ((60, 90), (50, 25), 20),
    ((128, 128), (60, 60), 40),
    ((300, 190), (90, 150), 70),
    ((190, 420), (210, 90), 70),
]


def predictor(architecture: str) -> HOIPredictor:
    """Random heads over the shipped detector, which keeps candidates of any score."""
    plain = [value for item in PLAIN.items() for value in item]
    weights = "hoi_d2://photo/nanodet_g.safetensors"
    name = ("MODEL.ENTITY_DETECTOR.NAME", "NanoDetEntityDetector")
    cfg = tiny_config(architecture, *name, "MODEL.ENTITY_DETECTOR.WEIGHTS", weights, *plain)
    cfg.merge_from_list(["INPUT.MIN_SIZE_TEST", 0, "INPUT.MAX_SIZE_TEST", 320])
    cfg.merge_from_list([f"{NODE}.SIZE", 128, f"{NODE}.SCORE_THRESHOLD", 1e-4])
    cfg.merge_from_list([f"{NODE}.MAX_DETECTIONS", 60, "MODEL.HOI.MAX_DETECTIONS", 100])
    cfg.MODEL.CLASSIFIER.INIT, cfg.INPUT.SQUARE_SIZE = "random", 32
    cfg.MODEL.IMAGE_ENCODER.NAME = CLIP_VIT
    cfg.MODEL.IMAGE_ENCODER.OPTIONS = CfgNode(VIT)
    for pairs in (cfg.MODEL.RMLR.PAIRS, cfg.MODEL.DEFR_DET.PAIRS):
        pairs.SCORE_THRESHOLD, pairs.NMS_THRESHOLD, pairs.MIN_INSTANCES = 0.2, 0.4, 4
    # Every pair's score counts, though that of its boxes is tiny.
    cfg.MODEL.DEFR_DET.POWER_HUMAN = cfg.MODEL.DEFR_DET.POWER_OBJECT = 0.0
    cfg.MODEL.RMLR.LOSS.PRIOR_EXPONENT_TEST = 0.0
    torch.manual_seed(0)
    return HOIPredictor(cfg)


@pytest.mark.parametrize(("architecture", "outputs"), [("RmLR", 6 + 2), ("DEFR-Det", 3 + 1 + 2)])
def test_the_runner_finds_what_the_predictor_finds(architecture, outputs, tmp_path) -> None:
    model = predictor(architecture)
    size = default_size(model.cfg)
    assert size == (128, 128)
    export_model(model, tmp_path, size=size)
    differences = check_export(model, tmp_path, size=size, pairs=(1, 9))
    assert len(differences) == outputs and max(differences.values()) < 1e-4
    exported, found = ExportedModel(tmp_path), 0
    for scene, centre, radius in SCENES:
        image = stop_sign(*scene, centre, radius).permute(1, 2, 0).numpy()[:, :, ::-1]
        triplets = model(np.ascontiguousarray(image)).triplets
        same(exported(image), triplets, score=1e-3, pixels=0.05)
        found += len(triplets)
    assert found > 100


def test_another_size_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"NanoDet is 128 x 128, got \(96, 128\).*NANODET\.SIZE"):
        export_model(predictor("RmLR"), tmp_path / "none", size=(96, 128))
    assert not list(tmp_path.iterdir())
