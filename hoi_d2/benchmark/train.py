"""Measures a training step by its parts, and whether the loader keeps up with it.

The steps are the trainer's own: its loader, precision, accumulation, clipping and guard. The
reference, "plain", is the forward pass of transformers' own DETR in float32 and without gradients,
on images of the same size. All kinds of steps run in turn, round by round, in one process, so that
a busy machine slows all of them down alike; CPU time is measured next to the clock.

The head gets the most pairs that it can have (MAX_INSTANCES persons and as many objects), because
the detections of random weights say nothing. `--pairs found` leaves the detections as they are.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import cycle
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from tabulate import tabulate
from torch import nn

from hoi_d2.benchmark.images import training_data
from hoi_d2.benchmark.infer import PLAIN, most_pairs, plain_detr
from hoi_d2.benchmark.stopwatch import (
    CLOCK,
    CPU,
    Stopwatch,
    model_parts,
    part_table,
    replaced,
)
from hoi_d2.benchmark.training_options import training_config, training_parser
from hoi_d2.engine.config_check import check_config
from hoi_d2.engine.train_step import Batch, unwrapped
from hoi_d2.engine.trainer import HOITrainer
from hoi_d2.engine.writers import peak_memory_mb
from hoi_d2.utils.files import write_json

DATA, DETECTOR, AVERAGE = "data wait", "entity_detector", "weight average"
LOSS, BACKWARD, OPTIMIZER = "losses", "backward", "clip, optimiser, log"
HEAD = "head forward and backward"


def main(argv: Sequence[str]) -> int:
    """Prints the tables; returns the exit status."""
    parser = training_parser("train", __doc__, images=24)
    add = parser.add_argument
    add("--steps", type=int, default=3, help="consecutive steps, for the throughput")
    add("--warm-up", type=int, default=1, help="rounds that do not count")
    args = parser.parse_args(argv)
    cfg = training_config(args)
    with tempfile.TemporaryDirectory() as cfg.OUTPUT_DIR, training_data(cfg, args.images) as what:
        result = {"data": what, "pairs": args.pairs}
        result |= benchmark(
            cfg,
            rounds=args.rounds,
            steps=args.steps,
            warm_up=args.warm_up,
            crowd=args.pairs == "most",
        )
    print(table(result))
    if args.json:
        write_json(args.json, result)
    return 0


def benchmark(
    cfg: CfgNode, *, rounds: int, steps: int, warm_up: int = 1, crowd: bool = True
) -> dict[str, Any]:
    """Times the training of a config.

    Args:
        cfg: its training set can be read.
        rounds: how often everything is measured.
        steps: consecutive steps of each kind per round, for the throughput.
        warm_up: rounds before, which do not count.
        crowd: the head gets the most pairs; False = the pairs of the detections.

    Returns:
        `parts` of a step and `plain`, seconds by clock and cpu; `images_per_second` of the loader
        alone, the model alone and both; and the ratios that `_ratios` names.
    """
    check_config(cfg, training=True)
    seed_all_rng(max(cfg.SEED, 0))
    trainer = HOITrainer(cfg)
    model: Any = unwrapped(trainer.model).train()
    plain = plain_detr(model)
    watch, speeds = Stopwatch(), []
    with EventStorage(0), most_pairs(model) if crowd else nullcontext():
        for _ in range(warm_up + rounds):
            speeds.append(throughput(trainer, steps))
            watch_step(trainer, watch, plain)
    trainer._trainer.close()
    del watch.rounds[:warm_up], speeds[:warm_up]
    parts = watch.seconds(statistics.fmean)
    result = {
        "device": cfg.MODEL.DEVICE,
        "threads": torch.get_num_threads(),
        "batch": cfg.SOLVER.IMS_PER_BATCH,
        "precision": trainer._trainer.precision,
        "rounds": rounds,
        "plain": {kind: seconds.pop(PLAIN, None) for kind, seconds in parts.items()},
        "parts": parts,
        "images_per_second": {
            name: statistics.harmonic_mean(speed[name] for speed in speeds) for name in speeds[0]
        },
        "peak_memory_mb": peak_memory_mb(),
    }
    return result | _ratios(result, trained=_trained(model))


def throughput(trainer: HOITrainer, steps: int) -> dict[str, float]:
    """Images per second of the loader alone, of the model alone, and of both together."""
    step, cfg = trainer._trainer, trainer.cfg
    loaded, micro_batches = step.batches, step.micro_batches
    # What the workers have read ahead is used up first: it says nothing about their speed.
    waiting = 2 * trainer.train_loader.num_workers + micro_batches
    batches = [next(loaded) for _ in range(waiting)][-micro_batches:]
    speeds = {}
    for name, action in (
        ("loader alone", lambda: [next(loaded) for _ in range(micro_batches)]),
        ("both", step.run_step),
        ("model alone", step.run_step),
    ):
        if name == "model alone":
            step.batches = cycle(batches)
        start = _now()
        for _ in range(steps):
            action()
        speeds[name] = steps * cfg.SOLVER.IMS_PER_BATCH / (_now() - start)
    step.batches = loaded
    return speeds


def watch_step(trainer: HOITrainer, watch: Stopwatch, plain: Callable[[Batch], Any] | None) -> None:
    """One step by its parts, and `plain` on the same batches, as one round of `watch`."""
    step, model = trainer._trainer, unwrapped(trainer.model)
    loaded, batches = step.batches, []

    def load() -> Batch:
        batches.append(next(loaded))
        return batches[-1]

    owners = [(step, "_backward", BACKWARD), (model, "forward", LOSS), *model_parts(model)]
    timed_batches = iter(watch.timed(load, DATA), None)
    with watch.methods(owners), watch.round(OPTIMIZER):
        with replaced(step, "batches", timed_batches):
            step.run_step()
        if trainer.average:
            with watch.part(AVERAGE):
                trainer.average.update()
        if plain:
            with watch.part(PLAIN):
                for batch in batches:
                    plain(batch)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _trained(model: nn.Module) -> list[str]:
    """Names of the model's parts that are trained."""
    children = model.named_children()
    return [name for name, part in children if any(p.requires_grad for p in part.parameters())]


def _ratios(result: dict[str, Any], *, trained: Sequence[str]) -> dict[str, Any]:
    """Ratios of CPU seconds where the model is on a CPU, else of seconds on the clock.

    Returns:
        `ratio_to_plain`: a whole step / plain. `head_share` and `head_to_plain`: forward and
        backward of the trained parts / forward of the frozen detector, and / plain. `kept_up`:
        images per second with the loader / those of the slower of loader and model. A ratio is
        None where the model has no such part.
    """
    kind = CPU if result["device"] == "cpu" else CLOCK
    parts, plain, speed = result["parts"][kind], result["plain"][kind], result["images_per_second"]
    head = sum(parts.get(name, 0.0) for name in (*trained, BACKWARD) if name != DETECTOR)
    return {
        "ratio_to_plain": sum(parts.values()) / plain if plain else None,
        "head_share": head / parts[DETECTOR] if DETECTOR in parts else None,
        "head_to_plain": head / plain if plain else None,
        "kept_up": speed["both"] / min(speed["loader alone"], speed["model alone"]),
    }


def table(result: dict[str, Any]) -> str:
    """The figures as text."""
    head = (
        f"{result['data']}\nbatch {result['batch']}, {result['pairs']} pairs, {result['device']}, "
        f"{result['threads']} threads, {result['precision']}, mean of {result['rounds']} rounds"
    )
    parts = part_table("part of a step", result["parts"])
    speeds = tabulate(
        list(result["images_per_second"].items()), headers=("", "images/s"), floatfmt=".2f"
    )
    lines = [
        f"{name}: {result[key]:.3f}"
        for key, name in (
            ("kept_up", "both / the slower of the two"),
            ("ratio_to_plain", "step / plain"),
            ("head_share", f"{HEAD} / frozen detector"),
            ("head_to_plain", f"{HEAD} / plain"),
        )
        if result[key] is not None
    ]
    if result["plain"][CPU]:
        clock, cpu = result["plain"][CLOCK], result["plain"][CPU]
        lines.append(f"{PLAIN}: {clock:.3f} s, {cpu:.3f} CPU s")
    lines.append(f"peak memory: {result['peak_memory_mb']:.0f} MB")
    return "\n\n".join([head, parts, speeds, "\n".join(lines)])
