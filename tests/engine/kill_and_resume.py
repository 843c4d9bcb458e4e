"""Kills a run with SIGKILL at random points, resumes it, and compares it with an uninterrupted run.

python tests/engine/kill_and_resume.py --kills 10 --seed 0

Where the process kills itself: while it reads an image, after the backward pass, after the
update, half way through writing a checkpoint, between renaming it and pointing to it, and in an
evaluation. Prints a table; exit status 1 where the ends differ in a bit.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from detectron2.utils.env import seed_all_rng

from hoi_d2.checkpoint import checkpointer as checkpointer_module
from hoi_d2.engine.train_step import TrainStep
from hoi_d2.engine.trainer import HOITrainer
from tests import tiny_world as tiny
from tests.engine.processes import forkserver

PHASES = ("reading", "backward", "updated", "writing", "renamed", "evaluating")
MAX_ITER = 60
OVERRIDES = (
    *("SOLVER.MAX_ITER", MAX_ITER, "SOLVER.CHECKPOINT_PERIOD", 7, "SOLVER.CHECKPOINT_KEEP", 2),
    *("SOLVER.EMA.ENABLED", True, "SOLVER.EMA.DECAY", 0.9, "SOLVER.ACCUMULATE", 2),
    *("TEST.EVAL_PERIOD", 11, "TEST.BEST_METRIC", "tiny/mAP", "TINY.DROPOUT", 0.3),
    *("DATALOADER.ASPECT_RATIO_GROUPING", True),
)


def train(output_dir: str, kill: tuple[int, str] | None = None, overrides: tuple = ()) -> None:
    """One process of the run: resumes, and kills itself at (iteration, phase) or later."""
    os.setsid()  # a group of its own, for the phase that signals the group
    # Loader workers as in a run that nobody forked: children, which see that their parent died.
    multiprocessing.set_start_method("fork", force=True)
    log = os.open(Path(output_dir, "console.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    tiny.register()
    cfg = tiny.tiny_cfg(output_dir, *OVERRIDES, *overrides)
    seed_all_rng(cfg.SEED)
    trainer = HOITrainer(cfg)
    trainer.resume_or_load(resume=True)
    Path(output_dir, "started_at").write_text(str(trainer.start_iter))
    if kill:
        arm(trainer, *kill)
    trainer.train()


def arm(trainer: HOITrainer, iteration: int, phase: str) -> None:
    """Patches this process so that it dies in `phase` once `iteration` is reached."""

    def die() -> None:
        if phase == "told to stop" and trainer.iter == iteration:
            os.killpg(0, signal.SIGTERM)  # as a job scheduler does, loader workers and all
        elif phase == "Ctrl-C" and trainer.iter == iteration:
            os.killpg(0, signal.SIGINT)  # as a terminal does
        elif phase not in ("told to stop", "Ctrl-C") and trainer.iter >= iteration:
            os.kill(os.getpid(), signal.SIGKILL)

    def half_a_file(data: Any, file: Any) -> None:
        content = io.BytesIO()
        torch_save(data, content)
        if trainer.iter >= iteration:
            file.write(content.getvalue()[: len(content.getvalue()) // 2])
            file.flush()
        die()
        file.write(content.getvalue())

    torch_save = torch.save
    if phase == "writing":
        checkpointer_module.torch.save = half_a_file
        return
    owner, name = {
        "reading": (tiny.TinyMapper, "__call__"),
        "backward": (TrainStep, "_clip"),
        "updated": (TrainStep, "_log"),
        "told to stop": (TrainStep, "_log"),
        "Ctrl-C": (TrainStep, "_log"),
        "renamed": (checkpointer_module.HOICheckpointer, "tag_last_checkpoint"),
        "evaluating": (tiny.TinyEvaluator, "process"),
    }[phase]
    setattr(owner, name, _before(die, getattr(owner, name)))


def _before(action: Callable[[], None], function: Callable) -> Callable:
    def both(*args: Any, **kwargs: Any) -> Any:
        action()
        return function(*args, **kwargs)

    return both


def run_with_kills(
    directory: Path, kills: list[tuple[int, str]], overrides: tuple = ()
) -> list[tuple[str, ...]]:
    """Rows (iteration, phase, how the process ended, iteration it had started at)."""
    context = forkserver()
    rows = []
    for kill in [*kills, None]:
        process = context.Process(target=train, args=(str(directory), kill, overrides))
        process.start()
        process.join()
        ended = "SIGKILL" if process.exitcode == -signal.SIGKILL else f"exit {process.exitcode}"
        started = Path(directory, "started_at").read_text()
        iteration, phase = kill or ("-", "not killed")
        rows.append((str(iteration), phase, ended, started))
    return rows


def random_kills(number: int, seed: int) -> list[tuple[int, str]]:
    """Random iterations in order, each phase about as often."""
    rng = random.Random(seed)
    iterations = sorted(rng.sample(range(MAX_ITER - 1), number))
    phases = [PHASES[i % len(PHASES)] for i in range(number)]
    rng.shuffle(phases)
    return list(zip(iterations, phases))


def differences(left: Any, right: Any, name: str = "") -> list[str]:
    """Names of what is not bit-identical in two checkpoints."""
    if isinstance(left, dict):
        if left.keys() != right.keys():
            return [f"{name}: keys"]
        pairs = [(f"{name}/{key}", left[key], right[key]) for key in left]
    elif isinstance(left, list | tuple):
        if len(left) != len(right):
            return [f"{name}: length"]
        pairs = [(f"{name}/{i}", a, b) for i, (a, b) in enumerate(zip(left, right))]
    elif isinstance(left, torch.Tensor):
        return [] if torch.equal(left, right) and left.dtype == right.dtype else [name]
    else:
        return [] if left == right else [name]
    return [found for key, a, b in pairs for found in differences(a, b, key)]


def compare(first: Path, second: Path) -> list[str]:
    """What differs between the ends of two runs."""
    states = [
        torch.load(directory / "model_final.pth", weights_only=True)
        for directory in (first, second)
    ]
    for state in states:
        state.pop("config")  # names the output directory
    found = differences(*states)
    metrics = [json.loads((d / "metrics.json").read_text()) for d in (first, second)]
    return found + (["metrics.json"] if metrics[0] != metrics[1] else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        whole, killed = Path(directory, "whole"), Path(directory, "killed")
        for path in (whole, killed):
            path.mkdir()
        run_with_kills(whole, [])
        rows = run_with_kills(killed, random_kills(args.kills, args.seed))
        print("| killed at iteration | during | ended with | started at iteration |")
        print("|---|---|---|---|")
        for row in rows:
            print("| " + " | ".join(row) + " |")
        found = compare(whole, killed)
    print(f"differences from the uninterrupted run: {', '.join(found) or 'nothing, bit for bit'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
