"""Options that the benchmarks of training share."""

from __future__ import annotations

import argparse

import torch
from detectron2.config import CfgNode

from hoi_d2.benchmark.stopwatch import argument_parser
from hoi_d2.config.load import load_config


def training_parser(name: str, description: str | None, *, images: int) -> argparse.ArgumentParser:
    """The parser of `hoi-d2 benchmark <name>`; `images` is the default of its option."""
    parser = argument_parser(name, description)
    add = parser.add_argument
    add("--batch", type=int, default=0, help="SOLVER.IMS_PER_BATCH; 0 = as in the config")
    made = "number to make where the dataset is not on disk"
    add("--images", type=int, default=images, help=made)
    add("--pairs", choices=["most", "found"], default="most")
    return parser


def training_config(args: argparse.Namespace) -> CfgNode:
    """The config of `training_parser`'s arguments; sets torch's threads as well."""
    if args.threads:
        torch.set_num_threads(args.threads)
    cfg = load_config(args.config_file, args.opts)
    cfg.SOLVER.IMS_PER_BATCH = args.batch or cfg.SOLVER.IMS_PER_BATCH
    return cfg
