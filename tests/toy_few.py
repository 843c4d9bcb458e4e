"""The toy world cut to a few images; run as a module it is `tools/train_net.py` on them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import hoi_d2.engine.setup as setup  # before detectron2, which it prepares

# isort: split
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from hoi_d2.config.load import load_config
from hoi_d2.data.toy.dataset import toy_metadata, toy_record

NUMBERS = {"train": 13, "val": 5}  # neither divides by two
CONFIG = str(Path(__file__).parents[1] / "configs" / "toy" / "rmlr.yaml")
OVERRIDES = (
    *("DATASETS.TRAIN", "('toy_few_train',)", "DATASETS.TEST", "('toy_few_val',)"),
    *("SOLVER.MAX_ITER", 4, "SOLVER.IMS_PER_BATCH", 4, "SOLVER.LOG_PERIOD", 1),
    *("DATALOADER.NUM_WORKERS", 0, "MODEL.DEVICE", "cpu", "SEED", 3),
    *("SOLVER.DRAW_CURVES", False, "SOLVER.WARMUP_ITERS", 0),  # else the weights hardly move
)


def load(split: str) -> list[dict]:
    return [toy_record(split, index) for index in range(NUMBERS[split])]


def register() -> None:
    """Registers toy_few_train and toy_few_val; safe to call again."""
    for split in NUMBERS:
        name = f"toy_few_{split}"
        if name not in DatasetCatalog.list():
            DatasetCatalog.register(name, partial(load, split))
            MetadataCatalog.get(name).set(**toy_metadata(), evaluator_type="hico_det")


def few_cfg(*overrides: object) -> CfgNode:
    """configs/toy/rmlr.yaml on a few images."""
    register()
    return load_config(CONFIG, [*OVERRIDES, *overrides])


def run(args) -> object:
    """In each process, which may have been spawned."""
    register()
    args.config_file, args.opts = CONFIG, [*map(str, OVERRIDES), *args.opts]
    return setup.run(args)


def train(arguments: list[str]) -> None:
    """The command line `tools/train_net.py ARGUMENTS`, in this process and without its output."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    setup.main(arguments, function=run)


if __name__ == "__main__":
    setup.main(function=run)
