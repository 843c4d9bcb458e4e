"""Encoders of a few thousand parameters, by config, as the toy world has them."""

import torch
from detectron2.config import CfgNode

from hoi_d2.config.load import load_config
from hoi_d2.modeling.image_encoder import build_image_encoder

VIT = {"patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 4}
RESNET = {
    "depths": [1, 1, 1, 1],
    "channels": [16, 32, 64, 64],
    "stem_chs": [8, 8, 16],
    "num_classes": 24,
    "zero_init_last": False,
}
CLIP_VIT = "vit_base_patch32_clip_quickgelu_224"


def encoder_config(name=CLIP_VIT, size=32, options=VIT, **keys):
    cfg = load_config("")
    node = cfg.MODEL.IMAGE_ENCODER
    node.NAME, node.IMAGE_SIZE, node.OPTIONS = name, size, CfgNode(dict(options))
    for key, value in keys.items():
        node[key] = value
    return cfg


def small_encoder(kind="vit", size=32, **options):
    torch.manual_seed(0)
    if kind == "vit":
        cfg = encoder_config(size=size, options={**VIT, "visual_projection": 20, **options})
    else:
        cfg = encoder_config("resnet50_clip", size, {**RESNET, **options})
    encoder = build_image_encoder(cfg).eval()
    for parameter in encoder.parameters():  # timm starts biases and CLS at zero, which hides errors
        parameter.data += 0.05 * torch.randn_like(parameter)
    return encoder
