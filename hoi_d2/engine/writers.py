"""Writers of a run: console, train_log.jsonl, TensorBoard, Weights & Biases, metrics.json."""

from __future__ import annotations

import datetime
import json
import logging
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from detectron2.utils.events import EventStorage, EventWriter, JSONWriter, TensorboardXWriter
from detectron2.utils.events import get_event_storage as current_storage

from hoi_d2.utils.extras import import_extra
from hoi_d2.utils.files import write_atomically
from hoi_d2.visualization.plots.learning_curves import LOG_NAME, plot_learning_curves

logger = logging.getLogger(__name__)
METRICS_NAME = "metrics.json"
CURVES_NAME = "curves.png"
_WINDOW = 20


class ProgressPrinter(EventWriter):
    """One line: progress, ETA, losses, images/s, share of the time waiting for data, memory.

    Args:
        max_iter: iterations of the run.
        batch_size: images of an iteration, over all processes.
    """

    def __init__(self, max_iter: int, batch_size: int) -> None:
        self.max_iter, self.batch_size = max_iter, batch_size
        self._last: tuple[int, float] | None = None

    def write(self) -> None:
        """Puts the speed into the storage, for the other writers, and prints the line."""
        storage = current_storage()
        if storage.iter >= self.max_iter:  # called once more after the last iteration
            return
        parts = [f"iter {storage.iter + 1}/{self.max_iter}", *self._speed(storage)]
        parts += [
            f"{name} {history.median(_WINDOW):.4g}"
            for name, history in storage.histories().items()
            if "loss" in name
        ]
        if "lr" in storage.histories():
            parts.append(f"lr {storage.history('lr').latest():.3g}")
        memory = peak_memory_mb()
        storage.put_scalar("peak_memory_mb", memory, smoothing_hint=False)
        logger.info("%s", "  ".join([*parts, f"peak memory {memory:.0f} MB"]))

    def _speed(self, storage: EventStorage) -> list[str]:
        now = time.perf_counter()
        last, self._last = self._last, (storage.iter, now)
        if last is None or last[0] == storage.iter:
            return []
        seconds = (now - last[1]) / (storage.iter - last[0])
        waiting = storage.history("data_time").avg(storage.iter - last[0]) / seconds
        storage.put_scalar("images_per_second", self.batch_size / seconds, smoothing_hint=False)
        storage.put_scalar("data_wait_share", waiting, smoothing_hint=False)
        eta = datetime.timedelta(seconds=int(seconds * (self.max_iter - storage.iter - 1)))
        speed = f"{self.batch_size / seconds:.1f} images/s"
        return [f"eta {eta}", speed, f"data wait {waiting:.0%}"]


class WandbWriter(EventWriter):
    """Scalars to a Weights & Biases project.

    Args:
        project: its name.
        config: what the run's page shows as its configuration.
        directory: where wandb keeps its files.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    def __init__(self, project: str, config: dict[str, Any], directory: str) -> None:
        wandb = import_extra("wandb", extra="wandb", needed_by="SOLVER.WANDB_PROJECT")
        self._run = wandb.init(project=project, config=config, dir=directory, resume="allow")
        self._last = -1

    def write(self) -> None:
        storage = current_storage()
        latest = storage.latest_with_smoothing_hint(_WINDOW).items()
        new = {name: value for name, (value, iteration) in latest if iteration > self._last}
        if new:
            self._run.log(new, step=storage.iter)
        self._last = storage.iter

    def close(self) -> None:
        self._run.finish()


def build_writers(
    output_dir: str,
    *,
    start_iter: int,
    max_iter: int,
    batch_size: int,
    wandb_project: str = "",
    config: dict[str, Any] | None = None,
) -> list[EventWriter]:
    """The writers of a run. Lines of a log from iterations that a resumed run repeats are cut."""
    log = Path(output_dir) / LOG_NAME
    cut_log(log, start_iter)
    writers: list[EventWriter] = [
        ProgressPrinter(max_iter, batch_size),
        JSONWriter(str(log), window_size=_WINDOW),
        TensorboardXWriter(output_dir, window_size=_WINDOW, purge_step=start_iter),
    ]
    if wandb_project:
        writers.append(WandbWriter(wandb_project, config or {}, output_dir))
    return writers


def cut_log(path: Path, start_iter: int) -> None:
    """Removes the lines of iterations from `start_iter` on, and a last line that was cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["iteration"] < start_iter:
            kept.append(line + "\n")
    write_atomically(path, lambda file: file.write("".join(kept).encode()))


def draw_curves(output_dir: str) -> None:
    """Draws OUTPUT_DIR/curves.png of the run's log, and curves.csv; a run never fails for it."""
    path = Path(output_dir) / CURVES_NAME
    try:
        drawn = plot_learning_curves(path, {Path(output_dir).name: output_dir})
    except (OSError, ValueError) as error:
        logger.warning("no learning curves: %s", error)
        return
    logger.info("%s: %s", path, ", ".join(drawn))


def peak_memory_mb() -> float:
    """Peak of this process so far: GPU memory where there is a GPU, else resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
