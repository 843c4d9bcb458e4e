"""From command-line arguments to a run; `hoi-d2 train` and `hoi-d2 eval` are this."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from hoi_d2.checkpoint.model_source import model_config
from hoi_d2.config.load import load_config, usable_device
from hoi_d2.data.builtin import register_own_datasets
from hoi_d2.engine.config_check import check_config
from hoi_d2.engine.launch import LaunchError, launch
from hoi_d2.engine.logs import LOG_NAME, make_output_dir, start_logs
from hoi_d2.engine.resources import check_resources
from hoi_d2.engine.trainer import HOITrainer, evaluate_weights
from hoi_d2.modeling.entity_detector.weights import MissingDetectorError, require_weights
from hoi_d2.registration import register
from hoi_d2.utils.arguments import MODEL_HELP, CommandParser, add_device_options
from hoi_d2.utils.locks import lock_folder
from hoi_d2.utils.user_errors import IN_A_STEP, IN_SETUP, reported_mistakes

EXAMPLES = """\
Trains a model, or with --eval-only evaluates it.

    hoi-d2 train --config-file configs/toy/rmlr.yaml
    hoi-d2 train --config-file configs/RmLR/R50.yaml --num-gpus 4 SOLVER.BASE_LR 2e-4
    hoi-d2 train --config-file configs/RmLR/R50.yaml --resume
    hoi-d2 train --config-file configs/RmLR/R50.yaml --eval-only MODEL.WEIGHTS model.pth
    torchrun --nproc_per_node 4 tools/train_net.py --config-file configs/RmLR/R50.yaml
"""
# detectron2's own texts name its classes, and LazyConfig's KEY=VALUE, which is refused here.
HELP = {
    "config_file": "a config file, or the name of a packaged one, such as toy/rmlr.yaml",
    "resume": "continue from the last checkpoint in OUTPUT_DIR",
    "eval_only": "evaluate MODEL.WEIGHTS on DATASETS.TEST, without training",
    "num_gpus": "GPUs of each machine; on a CPU: processes",
    "num_machines": "number of machines; the command is run on each",
    "machine_rank": "number of this machine, from 0",
    "dist_url": "address of machine 0, tcp://HOST:PORT; with one machine: chosen automatically",
    "opts": "KEY VALUE overrides of the config, such as SOLVER.BASE_LR 2e-4",
}


def argument_parser() -> argparse.ArgumentParser:
    """detectron2's arguments: --config-file, --num-gpus, ..., then KEY VALUE overrides."""
    parser = CommandParser(
        parents=[default_argument_parser()], add_help=False, description=EXAMPLES
    )
    for action in parser._actions:
        action.help = HELP.get(action.dest, action.help)
    parser.add_argument("--model", metavar="M", help=f"with --eval-only: {MODEL_HELP}")
    add_device_options(parser, batch_size=1)
    return parser


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; what only evaluation takes is refused in training."""
    parser = argument_parser()
    args = parser.parse_args(arguments)
    if args.model and args.config_file:
        parser.error("--model has a config: leave out --config-file")
    if not args.eval_only and (args.model or args.half or args.batch_size > 1):
        parser.error(
            "--model, --half and --batch-size are for evaluation; in training: --config-file, "
            "SOLVER.AMP.ENABLED and SOLVER.IMS_PER_BATCH"
        )
    return args


def setup(args: argparse.Namespace) -> CfgNode:
    """Returns the config of the run, frozen; starts the logs and seeds the random numbers."""
    register()
    options = [*args.opts, *_device_options(args)]
    cfg = (
        model_config(args.model, options) if args.model else load_config(args.config_file, options)
    )
    cfg.freeze()
    register_own_datasets(cfg)
    check_config(cfg, training=not args.eval_only)
    check_resources(cfg.DATALOADER.NUM_WORKERS)
    make_output_dir(cfg.OUTPUT_DIR)
    if not args.eval_only and comm.is_main_process():
        lock_folder(cfg.OUTPUT_DIR)  # two runs would replace each other's files
    start_logs(cfg, args)
    seed_all_rng(None if cfg.SEED < 0 else cfg.SEED + comm.get_rank())
    if not args.eval_only:  # images of a test set have too many sizes to look for the best kernel
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK
    return cfg


def _device_options(args: argparse.Namespace) -> list[Any]:
    """The flags as KEY, VALUE, ...; a flag that is not given leaves the config alone."""
    options: list[Any] = []
    if args.device:
        options += ["MODEL.DEVICE", usable_device(args.device)]
    if args.batch_size > 1:
        options += ["TEST.IMS_PER_BATCH", args.batch_size]
    return [*options, *(["TEST.HALF", True] if args.half else [])]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Trains, or with --eval-only evaluates; called in every process of the run.

    Raises:
        SystemExit: status 2 and a line on the console, where the user can mend what is wrong.
    """
    with reported_mistakes(IN_SETUP):
        cfg = setup(args)
    log = str(Path(cfg.OUTPUT_DIR) / LOG_NAME)
    if args.eval_only:
        with reported_mistakes(IN_SETUP, log):
            return evaluate_weights(cfg)
    with reported_mistakes(IN_SETUP, log):
        trainer = HOITrainer(cfg)
        trainer.resume_or_load(resume=args.resume)
    with reported_mistakes(IN_A_STEP, log):
        return trainer.train()


def main(
    arguments: list[str] | None = None, *, function: Callable[[argparse.Namespace], Any] = run
) -> Any:
    """The command: starts the processes of the run (`launch`) and calls `function` in each.

    Args:
        arguments: of the command line; None = this process's.
        function: `run`, or one that registers something before it calls `run`.
    """
    args = parse_args(arguments)
    with reported_mistakes((LaunchError, MissingDetectorError)):
        cfg = _config(args)
        if cfg is not None:
            require_weights(cfg)  # said once, before processes start and data is read
        return launch(
            function,
            num_gpus=args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            device=cfg.MODEL.DEVICE if cfg is not None else "cuda",
            args=(args,),
        )


def _config(args: argparse.Namespace) -> CfgNode | None:
    """The config of the run; None = it has a mistake, which `setup` reports in the run."""
    try:
        return load_config(args.config_file, args.opts)
    except (OSError, ValueError, KeyError):
        return None
