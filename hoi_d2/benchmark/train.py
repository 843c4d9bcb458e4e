"""What a training step takes, part by part, and whether the loader keeps up with it.

The steps are the trainer's own: its loader, precision, accumulation, clipping and guard. The
yardstick, "plain", is the forward pass of transformers' own DETR as it comes, in float32 and
without gradients, on the same images. All kinds of steps run in turn, round by round, in one
process, so that a busy machine hurts all alike; CPU time is measured beside the clock.

The head runs on the most pairs that it can get (MAX_INSTANCES persons and as many objects at random
places), because what a detector with random weights finds says nothing. `--pairs found` leaves the
detections as they are.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import cycle
from typing import Any
from unittest.mock import patch

import torch
from detectron2.config import CfgNode
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from tabulate import tabulate
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hoi_d2.benchmark.images import training_data
from hoi_d2.benchmark.infer import crowded
from hoi_d2.benchmark.stopwatch import CLOCK, CPU, Stopwatch
from hoi_d2.config.load import load_config
from hoi_d2.engine.config_check import check_config
from hoi_d2.engine.train_step import Batch, unwrapped
from hoi_d2.engine.trainer import HOITrainer
from hoi_d2.engine.writers import peak_memory_mb
from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector
from hoi_d2.utils.files import write_json

DATA, PREPROCESS, DETECTOR = "data wait", "preprocessing", "frozen detector"
LOSS, BACKWARD, OPTIMIZER = "losses", "backward", "clip, optimiser, log"
AVERAGE = "weight average"
HEAD = "head forward and backward"
PLAIN = "plain DETR forward"


def argument_parser() -> argparse.ArgumentParser:
    """The command line of `tools/benchmark.py train`."""
    parser = argparse.ArgumentParser(
        prog="benchmark.py train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config-file", default="RmLR/R50.yaml")
    parser.add_argument("--batch", type=int, default=0, help="SOLVER.IMS_PER_BATCH; 0 = as it is")
    parser.add_argument("--images", type=int, default=24, help="to make where there are no data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="in a row, for the throughput")
    parser.add_argument("--warm-up", type=int, default=1, help="rounds that do not count")
    parser.add_argument("--threads", type=int, default=0, help="0 = as torch has it")
    parser.add_argument("--pairs", choices=["most", "found"], default="most")
    parser.add_argument("--json", default="", help="also write the figures there")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE ...")
    return parser


def main(argv: Sequence[str]) -> int:
    """Prints the tables; returns the exit status."""
    args = argument_parser().parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    cfg = load_config(args.config_file, args.opts)
    cfg.SOLVER.IMS_PER_BATCH = args.batch or cfg.SOLVER.IMS_PER_BATCH
    with tempfile.TemporaryDirectory() as cfg.OUTPUT_DIR, training_data(cfg, args.images) as what:
        result = {"data": what, "pairs": args.pairs}
        result |= benchmark(
            cfg,
            rounds=args.rounds,
            steps=args.steps,
            warm_up=args.warm_up,
            most_pairs=args.pairs == "most",
        )
    print(table(result))
    if args.json:
        write_json(args.json, result)
    return 0


def benchmark(
    cfg: CfgNode, *, rounds: int, steps: int, warm_up: int = 1, most_pairs: bool = True
) -> dict[str, Any]:
    """Times the training that `cfg` asks for.

    Args:
        cfg: its training set can be read.
        rounds: how often everything is measured.
        steps: of each kind in a row in a round, for the throughput.
        warm_up: rounds before, which do not count.
        most_pairs: see above.

    Returns:
        `parts` of a step and `plain`, seconds by clock and cpu; `images_per_second` of the loader
        alone, the model alone and both; and the ratios that `_ratios` names.
    """
    check_config(cfg, training=True)
    seed_all_rng(max(cfg.SEED, 0))
    trainer = HOITrainer(cfg)
    model: Any = unwrapped(trainer.model).train()
    plain = plain_detr(model)
    if most_pairs and plain:
        find = model.entity_detector.forward
        model.entity_detector.forward = lambda inputs: crowded(find(inputs), model.pair_generator)
    watch = Stopwatch()
    speeds: list[dict[str, float]] = []
    with EventStorage(0):
        for number in range(warm_up + rounds):
            if number == warm_up:
                watch, speeds = Stopwatch(), []
            speeds.append(throughput(trainer, steps))
            watch_step(trainer, watch, plain)
        operations = count_operations(trainer, plain)
    trainer._trainer.close()
    parts = {kind: watch.averages(kind, statistics.fmean) for kind in (CLOCK, CPU)}
    result = {
        "device": cfg.MODEL.DEVICE,
        "threads": torch.get_num_threads(),
        "batch": cfg.SOLVER.IMS_PER_BATCH,
        "precision": trainer._trainer.precision,
        "rounds": rounds,
        "plain": {kind: parts[kind].pop(PLAIN, None) for kind in parts},
        "parts": parts,
        "images_per_second": {
            name: statistics.harmonic_mean(speed[name] for speed in speeds) for name in speeds[0]
        },
        "peak_memory_mb": peak_memory_mb(),
        "operations": operations,
    }
    return result | _ratios(result, trained=_trained(model))


def plain_detr(model: nn.Module) -> Callable[[Batch], Any] | None:
    """transformers' own DETR of the detector's size on the detector's images; None = no DETR."""
    detector = getattr(model, "entity_detector", None)
    if not isinstance(detector, DetrEntityDetector):
        return None
    config = copy.deepcopy(detector.network.config)
    config.auxiliary_loss = False
    network = type(detector.network.detr)(config).eval()
    network.to(next(detector.parameters()).device)

    @torch.no_grad()
    def forward(batch: Batch) -> Any:
        images, mask = detector.preprocess(batch)
        return network(pixel_values=images.tensor, pixel_mask=mask.long())

    return forward


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
    """One step with the parts watched, and plain on the same batches, as one round of `watch`."""
    step, model = trainer._trainer, unwrapped(trainer.model)
    batches: list[Batch] = []

    def load() -> Batch:
        batches.append(next(loaded))
        return batches[-1]

    loaded = step.batches
    step.batches = iter(watch.timed(load, DATA), None)
    owners = [(step, "_backward", BACKWARD), (model, "forward", LOSS)]
    if hasattr(model, "entity_detector"):
        detector = model.entity_detector
        owners += [(detector, "preprocess", PREPROCESS), (detector, "forward", DETECTOR)]
    children = [(n, child) for n, child in model.named_children() if n != "entity_detector"]
    owners += [(child, "forward", name) for name, child in children]
    with ExitStack() as stack, watch.round(OPTIMIZER):
        for owner, method, part in owners:
            timed = watch.timed(getattr(owner, method), part)
            stack.enter_context(patch.object(owner, method, timed))
        step.run_step()
        if trainer.average:
            with watch.part(AVERAGE):
                trainer.average.update()
        stack.close()
        step.batches = loaded
        if plain:
            with watch.part(PLAIN):
                for batch in batches:
                    plain(batch)


def count_operations(trainer: HOITrainer, plain: Callable | None) -> dict[str, float]:
    """1e9 operations (2 a multiply-add) of plain, and of a step without the frozen detector."""
    if plain is None:
        return {}
    step = trainer._trainer
    detector: Any = unwrapped(trainer.model).entity_detector
    batches = [next(step.batches) for _ in range(step.micro_batches)]
    with torch.no_grad():
        found = cycle([detector(batch) for batch in batches])
    # Attention as plain products of matrices: those the counter knows on every device.
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as of_plain:
            for batch in batches:
                plain(batch)
        with (
            patch.object(detector, "forward", lambda inputs: next(found)),
            patch.object(step, "batches", iter(batches)),
            FlopCounterMode(display=False) as of_head,
        ):
            step.run_step()
    return {PLAIN: of_plain.get_total_flops() / 1e9, HEAD: of_head.get_total_flops() / 1e9}


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _trained(model: nn.Module) -> list[str]:
    """Names of the model's parts that are trained."""
    children = model.named_children()
    return [name for name, part in children if any(p.requires_grad for p in part.parameters())]


def _ratios(result: dict[str, Any], *, trained: Sequence[str]) -> dict[str, Any]:
    """Of the CPU's seconds on a CPU, else of the clock's.

    Returns:
        `ratio_to_plain`: a whole step to plain. `head_share` and `head_to_plain`: forward and
        backward of what is trained to the forward of the frozen detector, as the config speeds it
        up, and to plain. `kept_up`: images per second of both to those of the slower of loader and
        model. None where the model has no such part.
    """
    kind = CPU if result["device"] == "cpu" else CLOCK
    parts, plain, speed = result["parts"][kind], result["plain"][kind], result["images_per_second"]
    head = sum(parts.get(name, 0.0) for name in (*trained, BACKWARD))
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
    clock, cpu = result["parts"][CLOCK], result["parts"][CPU]
    total, total_cpu = sum(clock.values()), sum(cpu.values())
    rows = [
        (n, clock[n], f"{clock[n] / total:.1%}", cpu[n], f"{cpu[n] / total_cpu:.1%}") for n in clock
    ]
    rows.append(("all", total, "", total_cpu, ""))
    if result["plain"][CLOCK]:
        rows.append((PLAIN, result["plain"][CLOCK], "", result["plain"][CPU], ""))
    headers = ("part of a step", "seconds", "share", "cpu seconds", "share")
    parts = tabulate(rows, headers=headers, floatfmt=".3f")
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
    counts = [f"{name} {number:.1f}" for name, number in result["operations"].items()]
    lines += [f"1e9 operations: {', '.join(counts)}"] if counts else []
    lines.append(f"peak memory: {result['peak_memory_mb']:.0f} MB")
    return "\n\n".join([head, parts, speeds, "\n".join(lines)])
