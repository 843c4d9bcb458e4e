"""The toy detector's ResNet inside an encoder: the same map, another normalisation of the input."""

import pytest
import torch
from detectron2.modeling import build_model

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.config.load import load_config
from hoi_d2.model_zoo import config_file
from hoi_d2.modeling.image_encoder import build_image_encoder


def config(name, *options):
    cfg = load_config("")
    cfg.merge_from_file(config_file(name))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", *options])
    return cfg


@pytest.mark.parametrize("size", [64, 96])
def test_the_map_is_the_detectors(size):
    encoder = build_image_encoder(config("toy/defr.yaml", "INPUT.SQUARE_SIZE", size)).eval()
    assert encoder.is_random  # the pool is
    detector = build_model(config("toy/detr.yaml")).eval()
    HOICheckpointer(detector).load("hoi_d2://toy/detr.safetensors")
    images = torch.randint(0, 256, (2, 3, size, size), generator=torch.Generator().manual_seed(0))
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    with torch.no_grad():
        expected = detector.network.detr.model.backbone.model((images - mean) / std)
        found = encoder.network.forward_features(encoder.normalize(images.float()))
    expected = expected.feature_maps[-1]
    # Zeros that pad the image are another grey in the two normalisations.
    assert (found - expected).abs().max() < 0.01 * expected.abs().max()


def test_other_stages_are_refused():
    options = ("MODEL.IMAGE_ENCODER.OPTIONS.channels", [32, 64, 128])
    with pytest.raises(WeightsError, match=r"does not fit MODEL.IMAGE_ENCODER.OPTIONS"):
        build_image_encoder(config("toy/defr.yaml", *options))
