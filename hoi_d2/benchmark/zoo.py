"""Measures what a config costs: its parameters, and the time and memory of a training step.

`tools/make_model_zoo.py --measure` writes it into `zoo.json`. Weights are random here: neither
figure depends on them.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage

from hoi_d2.config.load import load_config
from hoi_d2.data.builtin import MissingDatasetError
from hoi_d2.modeling.entity_detector.stored_boxes import MissingBoxesError
from hoi_d2.protocols import has_capability, meta_architecture
from hoi_d2.registration import register


def parameter_counts(name: str) -> dict[str, int] | None:
    """Counts the parameters of a model, built at full size on the CPU.

    Args:
        name: the name of a config, such as `RmLR/R50.yaml`.

    Returns:
        `all` parameters, and those that are `trained`: with a gradient, in a model that learns.
        None where the model needs dataset files or detections that are not on disk: MPII's classes,
        ground truth, stored boxes.

    Raises:
        FileNotFoundError: the config itself or another file that it names, such as the image
            encoder's weights. The entity detector's weights change no count and are not read.
    """
    register()
    cfg = load_config(name)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.ENTITY_DETECTOR.WEIGHTS = cfg.MODEL.ENTITY_DETECTOR.REVISION = ""
    try:
        model = build_model(cfg)
    except (MissingDatasetError, MissingBoxesError):
        return None
    trained = 0 if has_capability(model, "needs_no_training") else 1
    return {
        "all": sum(p.numel() for p in model.parameters()),
        "trained": trained * sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def training_step(name: str, *, steps: int = 3) -> dict[str, Any] | None:
    """Takes a few steps of a config's own training, on the CPU, as `train_net.py` does.

    It uses one thread, because several wait for each other by spinning, which counts as CPU time.
    Peak memory is that of the whole process so far, so call this in a new process.

    Args:
        name: the name of a config whose training set can be read.
        steps: how many steps count, after one that does not.

    Returns:
        Median `cpu_seconds` of a step (without the loader's workers), `peak_memory_mb` (resident)
        and `batch`, the images of a step; None for a model that is not trained.
    """
    cfg = load_config(name)
    if has_capability(meta_architecture(cfg), "needs_no_training"):
        return None
    cfg.MODEL.DEVICE = "cpu"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cfg.OUTPUT_DIR:
        seconds, memory = _timed_steps(cfg, steps)
    return {
        "cpu_seconds": round(statistics.median(seconds), 2),
        "peak_memory_mb": round(memory),
        "batch": cfg.SOLVER.IMS_PER_BATCH,
    }


def _timed_steps(cfg: CfgNode, steps: int) -> tuple[list[float], float]:
    """CPU seconds of each step, and the peak of memory in MB."""
    from hoi_d2.engine.trainer import HOITrainer
    from hoi_d2.engine.writers import peak_memory_mb

    seed_all_rng(max(cfg.SEED, 0))
    trainer, seconds = HOITrainer(cfg), []
    trainer.model.train()
    with EventStorage(0):
        for _ in range(1 + steps):
            start = time.process_time()
            trainer.run_step()
            seconds.append(time.process_time() - start)
    memory = peak_memory_mb()
    trainer._trainer.close()
    return seconds[1:], memory


def machine() -> str:
    """A description of the machine that measures the steps."""
    with open("/proc/cpuinfo") as file:
        names = {line.partition(":")[2].strip() for line in file if line.startswith("model name")}
    return (
        f"one core of {' and '.join(sorted(names)) or 'an unknown CPU'} (no GPU), "
        f"torch {torch.__version__.partition('+')[0]}"
    )
