"""A short training by one process and by two: the same losses, whatever carries the gradients."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from hoi_d2.config.load import load_config
from hoi_d2.engine.launch import backend, launch
from hoi_d2.engine.trainer import HOITrainer
from hoi_d2.utils.files import write_json

# Relative. Sums in another order, over a few steps; rounding of the forward pass to 11 bits.
TOLERANCES = {"float32": 2e-3, "float16": 0.05}
_LOSSES = "losses.json"
_OPTIONS: tuple[Any, ...] = (
    *("MODEL.ALLOW_RANDOM_WEIGHTS", True, "SOLVER.IMS_PER_BATCH", 8, "SOLVER.LOG_PERIOD", 1),
    *("DATASETS.TEST", (), "SOLVER.DRAW_CURVES", False, "DATALOADER.NUM_WORKERS", 0),
)


def processes(device: str, *, tiny: bool) -> Iterator[dict[str, Any]]:
    """Trains toy/rmlr.yaml for a few steps by one process, by two, and by two in float16.

    Yields:
        `processes`, `precision`, `backend`, `losses` of the steps, `difference` (largest of a
        step's loss, relative to one process in float32), `ok`.
    """
    runs = [(1, "float32"), (2, "float32")] + [(2, "float16")] * (device == "cuda")
    first: list[float] = []
    for number, precision in runs:
        losses = train(device, number, precision, steps=3 if tiny else 8)
        first = first or losses
        difference = max(abs(a / b - 1) for a, b in zip(losses, first, strict=True))
        yield {
            "processes": number,
            "precision": precision,
            "backend": backend(device, number) if number > 1 else None,
            "losses": losses,
            "difference": difference,
            "ok": difference <= TOLERANCES[precision],
        }


def train(device: str, number: int, precision: str, steps: int) -> list[float]:
    """The total loss of each step of a training by `number` processes."""
    with tempfile.TemporaryDirectory() as folder:
        options = [*_OPTIONS, "MODEL.DEVICE", device, "OUTPUT_DIR", folder]
        options += ["SOLVER.MAX_ITER", steps, "SOLVER.WARMUP_ITERS", 1]
        options += ["SOLVER.AMP.ENABLED", precision != "float32"]
        options += ["SOLVER.AMP.PRECISION", "float16"]
        launch(_train, num_gpus=number, device=device, share_gpus=True, args=(options,))
        return json.loads(Path(folder, _LOSSES).read_text())


def _train(options: list[Any]) -> None:
    torch.backends.cudnn.allow_tf32 = False
    cfg = load_config("toy/rmlr.yaml", options)
    seed_all_rng(cfg.SEED + comm.get_rank())
    trainer = HOITrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    if comm.is_main_process():
        losses = [value for value, _ in trainer.storage.history("total_loss").values()]
        write_json(Path(trainer.cfg.OUTPUT_DIR, _LOSSES), losses)
