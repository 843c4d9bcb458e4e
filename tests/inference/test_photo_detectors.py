"""`hoi-d2 demo --detector`: the model of photographs with DETR of the hub in NanoDet's place."""

import csv

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

from hoi_d2.commands.main import main as hoi_d2_main
from hoi_d2.inference import photo_detectors
from hoi_d2.inference.model_list import list_models
from hoi_d2.inference.predictor import read_config
from hoi_d2.model_zoo import config_file
from tests.checkpoint.small_models import small_model
from tests.inference.test_own_classes import give_queries_classes, repository

SMALL = """
_BASE_: {base}
MODEL:
  DETR: {{NUM_QUERIES: 7, HIDDEN_DIM: 32, FFN_DIM: 48, NUM_HEADS: 4, ENCODER_LAYERS: 2,
    DECODER_LAYERS: 2, RESNET: {{HIDDEN_SIZES: [64, 128, 256, 512], DEPTHS: [1, 1, 1, 1],
    LAYER_TYPE: basic}}}}
  RMLR: {{PAIRS: {{SCORE_THRESHOLD: 0.0, NMS_THRESHOLD: 1.0}}}}
INPUT: {{MIN_SIZE_TEST: 64, MAX_SIZE_TEST: 128}}
"""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub, and the config of DETR R50 with a DETR of 7 queries."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.format(base=config_file(photo_detectors.PHOTO_DETECTORS["detr-r50"])))
    monkeypatch.setitem(photo_detectors.PHOTO_DETECTORS, "detr-r50", str(path))
    return tmp_path / "hub"


def fill(hub):
    """A DETR that finds persons and horses, in the layout and under the name of the hub's."""
    detector = small_model("MODEL.DETR.NUM_CLASSES", 91, "MODEL.DETR.CLASSES", "coco_91")
    give_queries_classes(detector, [1, 19])
    detector.network.detr.save_pretrained(repository(hub, "facebook/detr-resnet-50", "no_timm"))


def demo(folder, *options):
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    arguments = [str(folder / "a.png"), "--output", str(folder / "out"), *options]
    return hoi_d2_main(["demo", "--score-threshold", "0", *arguments])


def test_detr_of_the_hub_finds_the_entities(hub, tmp_path, capsys):
    fill(hub)
    assert demo(tmp_path, "--detector", "detr-r50") == 0
    assert "random" not in capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "out" / "hoi_results.csv").open()))
    assert "horse" in {row["object"] for row in rows}
    assert demo(tmp_path, "--detector", "nanodet-g") == 0
    rows = list(csv.DictReader((tmp_path / "out" / "hoi_results.csv").open()))
    assert not rows, "NanoDet finds nothing in noise"


def test_without_its_weights_it_names_them_and_the_command(hub, tmp_path, capsys):
    assert demo(tmp_path, "--detector", "detr-r50") == 2
    message = capsys.readouterr().err
    assert message.startswith("error: files of the Hugging Face hub are not on this machine")
    assert "facebook/detr-resnet-50@no_timm (config.json, model.safetensors" in message
    assert message.endswith("hoi-d2 download detr-r50\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--detector", "yolo"], "--detector: invalid choice: 'yolo'"),
        (
            ["--detector", "detr-r50", "--config-file", "toy/rmlr.yaml"],
            "cannot be combined",
        ),
        (
            ["--detector", "detr-r50", "--classes", "riding a horse"],
            "cannot be combined",
        ),
    ],
)
def test_refused(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        demo(tmp_path, *options)
    assert message in capsys.readouterr().err


def test_the_layout_model_is_the_same_and_the_detector_is_no_part_of_the_package():
    configs = [read_config(name).MODEL for name in photo_detectors.PHOTO_DETECTORS.values()]
    assert len({model.WEIGHTS for model in configs}) == 1
    assert "photo/photo" in list_models(pretrained=True)
    assert "photo/photo_detr_r50" not in list_models(pretrained=True)
