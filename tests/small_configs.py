"""Configs of `configs/` for tests: read as a user reads them, then cut down to a small model."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg

from hoi_d2.config.defaults import add_hoi_config
from hoi_d2.model_zoo import configs_root, full_name
from tests.modeling.tiny import make_tiny, model_input

# A hub id that nothing is downloaded of in tests: random vectors stand for its.
_NO_ENCODER = "google/mobilebert-uncased"
SMALL_RESNET = {
    "model_type": "resnet",
    "embedding_size": 16,
    "hidden_sizes": [16, 16, 24, 32],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}
SMALL_DEFORMABLE = {
    "model_type": "deformable_detr",
    "num_labels": 80,
    "backbone_config": SMALL_RESNET,
    "d_model": 32,
    "encoder_layers": 1,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 4,
    "decoder_layers": 2,
    "decoder_ffn_dim": 32,
    "decoder_attention_heads": 4,
    "two_stage": True,
    "with_box_refine": True,
    "two_stage_num_proposals": 20,
}
"""A configuration of transformers."""


def config_paths(folder: str) -> list[Path]:
    """Every YAML of `configs/<folder>` but for short names of others."""
    files = sorted((configs_root() / folder).glob("*.yaml"))
    names = [f"{folder}/{path.stem}" for path in files]
    return [path for path, name in zip(files, names) if full_name(name) == name]


def is_base(path: Path) -> bool:
    """What other files build on, and what is no model of its own."""
    return path.name.startswith("Base")


def read_config(path: Path | str) -> CfgNode:
    """The config of a file, on the CPU."""
    cfg = get_cfg()
    add_hoi_config(cfg)
    cfg.merge_from_file(str(path))
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def make_small(cfg: CfgNode, folder: Path) -> None:
    """Random weights and a small size, in place; the toy world's models are small already.

    Args:
        cfg: of any file in `configs/`.
        folder: for what the model keeps on disk.
    """
    cfg.MODEL.ALLOW_RANDOM_WEIGHTS = True
    cfg.MODEL.LANGUAGE.CACHE_DIR = str(folder)
    cfg.MODEL.ENTITY_DETECTOR.WEIGHTS = cfg.MODEL.ENTITY_DETECTOR.REVISION = ""
    if cfg.DATASETS.TRAIN[0].startswith("toy"):
        # Their text encoder is there, and would read 600 sentences.
        cfg.MODEL.LANGUAGE.ENCODER, cfg.MODEL.CLASSIFIER.INIT = _NO_ENCODER, "random"
        return
    make_tiny(cfg)
    _make_encoder_small(cfg)
    if cfg.MODEL.ENTITY_DETECTOR.NAME == "TransformersEntityDetector":
        _make_transformers_small(cfg, folder)


def _make_transformers_small(cfg: CfgNode, folder: Path) -> None:
    """A small two-stage Deformable DETR in place of any; the queries stay as they are made."""
    node = cfg.MODEL.ENTITY_DETECTOR.TRANSFORMERS
    source = Path(configs_root() / node.CONFIG)
    mixed = source.is_file() and json.loads(source.read_text()).get("mixed_selection", False)
    node.CONFIG, node.SIZE = str(folder / "small_detector.json"), []
    Path(node.CONFIG).write_text(json.dumps(SMALL_DEFORMABLE | {"mixed_selection": mixed}))


def _make_encoder_small(cfg: CfgNode) -> None:
    """One block or a narrow network, a small square; widths of features and texts stay."""
    node = cfg.MODEL.IMAGE_ENCODER
    if node.NAME.startswith("tf_efficientnet"):
        node.WEIGHTS = ""  # it has no size but its own
    elif node.NAME.startswith("resnet"):
        node.OPTIONS.depths, node.OPTIONS.channels = [1, 1, 1, 1], [16, 16, 32, 64]
        node.OPTIONS.stem_chs = [8, 8, 16]
    else:
        node.OPTIONS.depth, node.OPTIONS.mlp_ratio = 1, 0.25
    cfg.INPUT.SQUARE_SIZE = 56 if "patch14" in node.NAME else 64
    node.IMAGE_SIZE = 0


def labelled_inputs(cfg: CfgNode, num_classes: int) -> list[dict]:
    """Two images with image labels, as DEFR trains on them."""
    generator = torch.Generator().manual_seed(0)
    side = cfg.INPUT.SQUARE_SIZE
    images = torch.randint(0, 256, (2, 3, side, side), generator=generator).to(torch.uint8)
    labels = torch.randint(-2, 2, (2, num_classes), generator=generator).to(torch.int8)
    return [{"image": image, "image_labels": row} for image, row in zip(images, labels)]


def annotated_inputs(num_verbs: int) -> list[dict]:
    """Two images with entities and pairs, as all others train on them."""
    inputs = [model_input(seed=seed, num_verbs=num_verbs) for seed in (0, 1)]
    return [x | {"image_id": i, "file_name": f"{i}.jpg"} for i, x in enumerate(inputs)]
