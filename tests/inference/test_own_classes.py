"""`demo.py --classes`: DEFR-Det with weights that lie in the hub's cache, on real images."""

import json
import logging

import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file

from hoi_d2.commands.main import main as hoi_d2_main
from hoi_d2.data import open_vocabulary
from hoi_d2.model_zoo import config_file
from tests.checkpoint.small_models import small_model
from tests.modeling.image_encoder.small_encoders import small_encoder
from tests.modeling.language.small_encoders import save_encoder

CLASSES = ["riding a horse", "petting a unicorn", "a person holding an umbrella"]
HORSE, UMBRELLA = 17, 25
IMAGES = ["yolov5_bus.jpg", "dcnet_motor.jpg", "HICO_test2015_00000002.jpg"]
SMALL = """
_BASE_: {base}
MODEL:
  DETR: {{NUM_QUERIES: 7, HIDDEN_DIM: 32, FFN_DIM: 48, NUM_HEADS: 4, ENCODER_LAYERS: 2,
    DECODER_LAYERS: 2, RESNET: {{HIDDEN_SIZES: [64, 128, 256, 512], DEPTHS: [1, 1, 1, 1],
    LAYER_TYPE: basic}}}}
  IMAGE_ENCODER:
    IMAGE_SIZE: 64
    OPTIONS: {{patch_size: 16, embed_dim: 32, depth: 2, num_heads: 4, visual_projection: {text}}}
  DEFR_DET: {{PAIRS: {{SCORE_THRESHOLD: 0.0, NMS_THRESHOLD: 1.0}}}}
  LANGUAGE: {{CACHE_DIR: {cache}}}
INPUT: {{MIN_SIZE_TEST: 64, MAX_SIZE_TEST: 128}}
"""


def main(arguments):
    return hoi_d2_main(["demo", *arguments])


def repository(root, hub_id, revision="main"):
    """An empty snapshot as the hub's cache has it."""
    folder = root / f"models--{hub_id.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0123abcd" * 5)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / revision).write_text("0123abcd" * 5)
    return snapshot


def give_queries_classes(detector, categories):
    """Queries of a random DETR are all alike: let them look at places and differ in classes."""
    torch.manual_seed(0)
    detr = detector.network.detr
    for layer in detr.model.decoder.layers:
        for projection in (layer.encoder_attn.q_proj, layer.encoder_attn.k_proj):
            torch.nn.init.xavier_uniform_(projection.weight)
            projection.weight.data *= 60
    classifier = detr.class_labels_classifier
    torch.nn.init.xavier_uniform_(classifier.weight)
    classifier.bias.data.zero_()
    raw_images = [
        {"image": torch.randint(0, 255, (3, 64, 85), dtype=torch.uint8)} for _ in range(3)
    ]
    with torch.no_grad():
        images, mask = detector.preprocess(raw_images)
        mean = detector.network(images.tensor, mask).tokens.flatten(0, 1).mean(dim=0)
    for category in categories:
        classifier.weight.data[category] *= 12
        classifier.bias.data[category] = 3 - classifier.weight.data[category] @ mean


def fill_cache(root):
    """Small models under the names of the zero-shot config, always the same."""
    torch.manual_seed(0)
    detector = small_model("MODEL.DETR.NUM_CLASSES", 91, "MODEL.DETR.CLASSES", "coco_91")
    detr = detector.network.detr
    give_queries_classes(detector, [1, 19, 28])  # person, horse and umbrella in COCO's numbers
    detr.save_pretrained(repository(root, "facebook/detr-resnet-50", "no_timm"))
    tower = small_encoder(size=64, patch_size=16, depth=2, visual_projection=0).network
    projection = {"head.weight": torch.randn(24, 32), "head.bias": torch.zeros(24)}
    folder = repository(root, "timm/vit_base_patch16_clip_224.openai")
    save_file(tower.state_dict() | projection, folder / "model.safetensors")
    save_encoder("clip", repository(root, "openai/clip-vit-base-patch16"))


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The zero-shot config with small models (CLIP's texts of width 512), and an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return write_config(tmp_path, text=512)


def write_config(folder, *, text):
    base = config_file("DEFR-Det/zeroshot-ViT-B-16.yaml")
    path = folder / "small.yaml"
    path.write_text(SMALL.format(base=base, cache=folder / "text", text=text))
    return path


def image(folder):
    Image.new("RGB", (40, 30)).save(folder / "a.png")
    return folder / "a.png"


def demo(config, tmp_path, images, *options, classes=CLASSES):
    command = ["--config-file", str(config), "--input", *map(str, images)]
    command += ["--score-threshold", "0", "--classes", *classes]
    return main([*command, "--output", str(tmp_path / "out"), *options])


def test_real_images_with_weights_from_the_hubs_cache(config, tmp_path, real_data, caplog):
    open_vocabulary._open_vocabulary.cache_clear()  # another test may have read the same classes
    fill_cache(tmp_path / "hub")
    config = write_config(tmp_path, text=24)
    images = [real_data / "images" / name for name in IMAGES]
    with caplog.at_level(logging.WARNING, logger="hoi_d2"):
        assert demo(config, tmp_path, images) == 0
    assert "RANDOM" not in caplog.text
    assert "'petting a unicorn' names no object" in caplog.text
    drawn = {path.stem for path in (tmp_path / "out").glob("*.jpg")}
    assert drawn == {path.stem for path in images}
    rows = json.loads((tmp_path / "out" / "hoi_results.json").read_text())
    objects = {
        verb: {r["object_category_id"] for r in rows if r["verb_id"] == verb} for verb in range(3)
    }
    assert objects[0] <= {HORSE} and objects[2] <= {UMBRELLA} and objects[0] | objects[2]
    assert len(objects[1]) > 1  # the unicorn goes with everything
    assert all(0 < row["score"] <= 1 for row in rows)
    words = (tmp_path / "out" / "hoi_results.csv").read_text()
    assert '"""petting a unicorn"""' in words


def test_real_images_with_random_weights(config, tmp_path, real_data, caplog, capsys):
    images = [real_data / "images" / IMAGES[0]]
    options = ["MODEL.ENTITY_DETECTOR.WEIGHTS", ""]
    assert demo(config, tmp_path, images, *options) == 2
    refused = capsys.readouterr().err
    assert "openai/clip-vit-base-patch16" in refused and "facebook/detr" not in refused
    assert refused.endswith("hoi-d2 download clip-b16\n")
    with caplog.at_level(logging.WARNING, logger="hoi_d2"):
        assert demo(config, tmp_path, images, *options, "MODEL.ALLOW_RANDOM_WEIGHTS", True) == 0
    assert "RANDOM WEIGHTS in the image encoder" in caplog.text
    assert "RANDOM TEXT VECTORS" in caplog.text
    assert "image_encoder, classifier, entity_detector" in capsys.readouterr().err
    assert (tmp_path / "out" / "yolov5_bus.jpg").is_file()


def test_without_a_network_and_a_cache_it_says_what_is_missing(config, tmp_path, capsys):
    assert demo(config, tmp_path, [image(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: files of the Hugging Face hub are not on this machine")
    assert "facebook/detr-resnet-50@no_timm" in message
    assert message.endswith("hoi-d2 download zeroshot\n")


REFUSED = [
    (["a.txt"], [], "no such text file"),
    (["riding a horse", "Riding a horse"], [], "twice"),
    (["riding a horse"], ["MODEL.META_ARCHITECTURE", "RmLR"], "classes are fixed"),
    (["riding a horse"], ["MODEL.WEIGHTS", "defr.pth"], "MODEL.IMAGE_ENCODER.WEIGHTS"),
]


@pytest.mark.parametrize("classes, options, message", REFUSED)
def test_classes_that_cannot_be(config, tmp_path, capsys, classes, options, message):
    assert demo(config, tmp_path, [image(tmp_path)], *options, classes=classes) == 2
    assert message in capsys.readouterr().err
