"""From a config's name and overrides to a config that runs on this machine."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode, get_cfg

from hoi_d2.config import add_hoi_config
from hoi_d2.model_zoo import config_file


def load_config(path: str, opts: Sequence[str] = ()) -> CfgNode:
    """The config of a file or packaged name, on the CPU where there is no GPU.

    Args:
        path: a file, or a name such as `toy/rmlr.yaml`.
        opts: KEY, VALUE, ... merged after it.

    Raises:
        FileNotFoundError: no such config; lists the packaged ones.
    """
    cfg = get_cfg()
    add_hoi_config(cfg)
    cfg.merge_from_file(config_file(path))
    cfg.merge_from_list(list(opts))
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    return cfg
