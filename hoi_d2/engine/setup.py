"""From command-line arguments to a run; `tools/train_net.py` and `hoi-d2 train` are this."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_argument_parser, default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from hoi_d2.config import add_hoi_config
from hoi_d2.data.builtin import register_own_datasets
from hoi_d2.engine.launch import launch
from hoi_d2.engine.trainer import HOITrainer, evaluate_weights
from hoi_d2.model_zoo import config_file


def argument_parser() -> argparse.ArgumentParser:
    """detectron2's arguments: --config-file, --num-gpus, ..., then KEY VALUE overrides."""
    return default_argument_parser()


def setup(args: argparse.Namespace) -> CfgNode:
    """The config of the run, frozen; starts the logs and seeds the random numbers."""
    cfg = get_cfg()
    add_hoi_config(cfg)
    if args.config_file:
        cfg.merge_from_file(config_file(args.config_file))
    cfg.merge_from_list(args.opts)
    no_gpu = cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available()
    if no_gpu:
        cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    register_own_datasets(cfg)
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="hoi_d2")
    if no_gpu:
        logging.getLogger(__name__).warning("no GPU here: MODEL.DEVICE is cpu")
    return cfg


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Trains, or with --eval-only evaluates; called in every process of the run."""
    cfg = setup(args)
    if args.eval_only:
        return evaluate_weights(cfg)
    trainer = HOITrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def main(
    arguments: list[str] | None = None, *, function: Callable[[argparse.Namespace], Any] = run
) -> Any:
    """The command: starts the processes of the run (`launch`) and calls `function` in each.

    Args:
        arguments: of the command line; None = this process's.
        function: `run`, or one that registers something before it calls `run`.
    """
    args = argument_parser().parse_args(arguments)
    return launch(
        function,
        num_gpus=args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )
