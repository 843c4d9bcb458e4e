"""Measures training from stored outputs of the frozen detector against training from images.

    hoi-d2 benchmark cached --config-file RmLR/R50.yaml --images 16 --batch 4 --threads 1

Two trainers with the same weights take the same steps on the same augmentations in turn, one with
the detector, one from a cache in a temporary folder, which is filled first. The loader reads in
this process, so that its CPU time counts. The losses of all steps are compared as well. The head
gets the most pairs that it can have, as in `benchmark train`; `--pairs found` leaves them.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from tabulate import tabulate

from hoi_d2.benchmark.images import training_data
from hoi_d2.benchmark.infer import most_pairs
from hoi_d2.benchmark.stopwatch import CLOCK, CPU, Stopwatch
from hoi_d2.benchmark.training_options import training_config, training_parser
from hoi_d2.engine.config_check import check_config
from hoi_d2.engine.stored_outputs import use_stored_outputs
from hoi_d2.engine.train_step import unwrapped
from hoi_d2.engine.trainer import HOITrainer
from hoi_d2.inference.cache_detections import store_augmentations
from hoi_d2.utils.files import write_json

ONLINE, CACHED, STORING = "from images", "from the cache", "filling the cache, once"
Losses = dict[str, float]


def main(argv: Sequence[str]) -> int:
    """Prints the table; returns the exit status."""
    parser = training_parser("cached", __doc__, images=16)
    parser.add_argument("--augmentations", type=int, default=1, help="of each image")
    args = parser.parse_args(argv)
    cfg = training_config(args)
    cfg.MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS = args.augmentations
    cfg.DATALOADER.NUM_WORKERS = 0
    with tempfile.TemporaryDirectory() as folder, training_data(cfg, args.images) as what:
        result = {"data": what, "pairs": args.pairs}
        crowd = args.pairs == "most"
        result |= benchmark(cfg, Path(folder), rounds=args.rounds, crowd=crowd)
    print(table(result))
    if args.json:
        write_json(args.json, result)
    return 0


def benchmark(cfg: CfgNode, folder: Path, *, rounds: int, crowd: bool = True) -> dict[str, Any]:
    """Times epochs of both kinds.

    Args:
        cfg: its training set can be read, and CACHE_AUGMENTATIONS is not 0.
        folder: for the cache and what a run writes.
        rounds: how many epochs of each kind count, after one that does not.
        crowd: the head gets the most pairs; False = the pairs of the detections.

    Returns:
        `seconds`: for each kind median seconds of an image on the clock and of the CPU;
        `entry_mb` of an augmentation; `loss_difference`: largest relative one over all steps.
    """
    trainers = {ONLINE: _trainer(cfg, folder / "online")}
    cached = cfg.clone()
    cached.MODEL.ENTITY_DETECTOR.CACHE = str(folder / "cache")
    trainers[CACHED] = _trainer(cached, folder / "cached")
    models: dict[str, Any] = {name: unwrapped(t.model).train() for name, t in trainers.items()}
    models[CACHED].load_state_dict(models[ONLINE].state_dict())
    watches = {name: Stopwatch() for name in (ONLINE, CACHED, STORING)}
    records = list(trainers[CACHED].train_loader.dataset.records)
    with watches[STORING].round(STORING):
        counts = store_augmentations(cached, models[CACHED].entity_detector, records)
    use_stored_outputs(cached, models[CACHED], trainers[CACHED].train_loader.dataset)
    steps = max(len(records) // cfg.SOLVER.IMS_PER_BATCH, 1)
    losses: dict[str, list[Losses]] = {ONLINE: [], CACHED: []}
    for number in range(rounds + 1):
        for name, trainer in trainers.items():
            seed_all_rng(number)  # the same dropout
            _run_epoch(trainer, steps, watches[name], name, losses[name], crowd=crowd)
    for name, trainer in trainers.items():
        trainer._trainer.close()
        del watches[name].rounds[0]
    images = {ONLINE: steps * cfg.SOLVER.IMS_PER_BATCH, STORING: counts["stored"]}
    return {
        "device": cfg.MODEL.DEVICE,
        "threads": torch.get_num_threads(),
        "batch": cfg.SOLVER.IMS_PER_BATCH,
        "precision": trainers[ONLINE]._trainer.precision,
        "rounds": rounds,
        "images": len(records),
        "augmentations": cfg.MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS,
        "seconds": {
            name: _seconds_per_image(watch, name, images.get(name, images[ONLINE]))
            for name, watch in watches.items()
        },
        "entry_mb": _folder_bytes(folder / "cache") / counts["stored"] / 1e6,
        "loss_difference": _difference(losses[ONLINE], losses[CACHED]),
    }


def _run_epoch(
    trainer: HOITrainer,
    steps: int,
    watch: Stopwatch,
    name: str,
    losses: list[Losses],
    *,
    crowd: bool,
) -> None:
    """One round of the watch; the losses are appended."""
    model = unwrapped(trainer.model)
    pairs = most_pairs(model) if crowd else nullcontext()
    with EventStorage(0), pairs, recorded(model, losses), watch.round(name):
        for _ in range(steps):
            trainer._trainer.run_step()


def _seconds_per_image(watch: Stopwatch, name: str, images: int) -> dict[str, float]:
    median = watch.seconds(statistics.median)
    return {kind: median[kind][name] / images for kind in (CLOCK, CPU)}


def _trainer(cfg: CfgNode, output: Path) -> HOITrainer:
    cfg = cfg.clone()
    cfg.OUTPUT_DIR = str(output)
    check_config(cfg, training=True)
    seed_all_rng(max(cfg.SEED, 0))
    cfg.SEED = max(cfg.SEED, 0)  # both see the same images
    return HOITrainer(cfg)


@contextmanager
def recorded(model: torch.nn.Module, losses: list[Losses]) -> Iterator[None]:
    """Inside, the losses of each forward pass are appended."""

    def keep(module: Any, inputs: Any, output: dict[str, torch.Tensor]) -> None:
        losses.append({name: float(value.detach()) for name, value in output.items()})

    handle = model.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def _difference(expected: list[Losses], found: list[Losses]) -> float:
    return max(
        abs(b[name] - a[name]) / max(abs(a[name]), 1e-12)
        for a, b in zip(expected, found, strict=True)
        for name in a
    )


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def table(result: dict[str, Any]) -> str:
    """The figures as text."""
    head = (
        f"{result['data']}, {result['augmentations']} augmentation(s) each\n"
        f"batch {result['batch']}, {result['pairs']} pairs, {result['device']}, "
        f"{result['threads']} threads, {result['precision']}, median of {result['rounds']} epochs"
    )
    base = result["seconds"][ONLINE]
    rows = [
        (name, *(x for kind in (CLOCK, CPU) for x in (row[kind], row[kind] / base[kind])))
        for name, row in result["seconds"].items()
    ]
    headers = ("an image of an epoch", "seconds", "ratio", "cpu seconds", "ratio")
    lines = [
        f"an entry: {result['entry_mb']:.2f} MB",
        f"largest relative difference of a loss: {result['loss_difference']:.1e}",
    ]
    return "\n\n".join([head, tabulate(rows, headers=headers, floatfmt=".3f"), "\n".join(lines)])
