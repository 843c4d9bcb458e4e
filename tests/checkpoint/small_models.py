"""Models of the sizes of `published_detr`, built from configs."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

import hoi_d2  # noqa: F401  registers everything
from hoi_d2.config.load import load_config
from tests.checkpoint.published_detr import DIM, HEADS, QUERIES


def small_config(*opts: object, architecture: str = "Detr") -> CfgNode:
    """A DETR of a few hundred thousand weights; `opts` are KEY, VALUE, ..."""
    cfg = load_config("")
    sizes = {
        "NUM_QUERIES": QUERIES,
        "HIDDEN_DIM": DIM,
        "FFN_DIM": 48,
        "NUM_HEADS": HEADS,
        "ENCODER_LAYERS": 2,
        "DECODER_LAYERS": 2,
        "RESNET.EMBEDDING_SIZE": 64,
        "RESNET.HIDDEN_SIZES": [64, 128, 256, 512],
        "RESNET.DEPTHS": [1, 1, 1, 1],
        "RESNET.LAYER_TYPE": "basic",
    }
    cfg.merge_from_list([x for key, value in sizes.items() for x in (f"MODEL.DETR.{key}", value)])
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.META_ARCHITECTURE", architecture])
    cfg.merge_from_list(["DATASETS.TRAIN", (), "DATASETS.TEST", ()])
    head = {"FEATURE_DIM": 16, "IRE.HIDDEN_DIM": 16, "IRE.FFN_DIM": 16, "IRE.NUM_HEADS": 2}
    head |= {"IRM.HIDDEN_DIM": 16, "IRM.FFN_DIM": 16, "IRM.NUM_HEADS": 2}
    cfg.merge_from_list([x for key, value in head.items() for x in (f"MODEL.RMLR.{key}", value)])
    cfg.merge_from_list(list(opts))
    return cfg


def small_model(*opts: object, architecture: str = "Detr") -> nn.Module:
    """The model of `small_config`, in evaluation mode."""
    return build_model(small_config(*opts, architecture=architecture)).eval()
