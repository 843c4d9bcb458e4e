#!/usr/bin/env python
"""Random against language rows, four losses, and gamma, on the toy world; table, JSON, plot.

python projects/defr_ablation/run.py --seeds 1 2 3 --output output/defr_ablation

The shipped weights are language rows with LSE-Sign and more steps:
python projects/defr_ablation/run.py --ship hoi_d2/model_zoo/weights/toy/defr.safetensors
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import matplotlib.pyplot as plt
import numpy as np
import torch
from detectron2.config import CfgNode
from frozen_trunk import Seen, evaluate, look, train
from tabulate import tabulate

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.config.load import load_config

LOSSES = {"BCE": "BCE", "weighted BCE": "WeightedBCE", "focal": "Focal", "LSE-Sign": "LSESign"}
GAMMAS = (25, 50, 100, 150, 300, 500)
METRICS = {"mAP": "all", "mAP_few5": "Few@5", "mAP_few10": "Few@10", "mAP_known_object": "KO"}


def variants() -> dict[str, list]:
    """Name -> overrides of configs/toy/defr.yaml."""
    table = {
        f"{init} rows, {name}": ["MODEL.CLASSIFIER.INIT", init, "MODEL.DEFR.LOSS.NAME", loss]
        for init in ("random", "language")
        for name, loss in LOSSES.items()
    }
    return table | {f"gamma {g}": ["MODEL.CLASSIFIER.SCALE", float(g)] for g in GAMMAS}


def config(options: list, *, seed: int, steps: int) -> CfgNode:
    """The toy config for a run of the ablation."""
    solver = ["SOLVER.IMS_PER_BATCH", 64, "SOLVER.MAX_ITER", steps, "SOLVER.WARMUP_ITERS", 20]
    return load_config("toy/defr.yaml", ["MODEL.DEVICE", "cpu", "SEED", seed, *solver, *options])


def run(options: list, *, seed: int, steps: int, seen: dict[str, Seen], file: Path) -> dict:
    """Metrics of one run; a run that is on disk is not repeated."""
    if file.exists():
        return json.loads(file.read_text())
    torch.manual_seed(seed)
    model = train(config(options, seed=seed, steps=steps), seen["train"])
    metrics = evaluate(model, seen["val"], "toy_hoi_cls_val")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({name: metrics[name] for name in METRICS}))
    return {name: metrics[name] for name in METRICS}


def images(folder: Path) -> dict[str, Seen]:
    """Both splits through the frozen convolutions, once."""
    folder.mkdir(parents=True, exist_ok=True)
    result = {}
    for split in ("train", "val"):
        file = folder / f"seen_{split}.pt"
        if not file.exists():
            seen = look(config([], seed=1, steps=1), f"toy_hoi_cls_{split}")
            torch.save(vars(seen), file)
        result[split] = Seen(**torch.load(file, weights_only=True))
    return result


def spread(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ± {values.std(ddof=min(1, len(values) - 1)):.2f}"


def table(results: dict[str, list[dict]]) -> str:
    """Mean and standard deviation over the seeds, in Markdown."""
    rows = [
        [name, *(spread(np.array([r[m] for r in runs])) for m in METRICS)]
        for name, runs in results.items()
        if runs
    ]
    return tabulate(rows, headers=["variant", *METRICS.values()], tablefmt="github")


def plot(results: dict[str, list[dict]], path: Path) -> None:
    """Left and middle: rows and losses; right: gamma. A dot a seed."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4))
    for axis, metric in zip(axes, ("mAP", "mAP_few10")):
        for position, init in enumerate(("random", "language")):
            runs = [results[f"{init} rows, {loss}"] for loss in LOSSES]
            values = np.array([[r[metric] for r in some] for some in runs])
            x = np.arange(len(LOSSES)) + (position - 0.5) * 0.38
            axis.bar(x, values.mean(axis=1), 0.36, label=f"{init} rows", alpha=0.8)
            axis.plot(np.repeat(x, values.shape[1]), values.ravel(), "k.", markersize=3)
        axis.set_xticks(range(len(LOSSES)), LOSSES, fontsize=8)
        axis.set_title(f"{METRICS[metric]}, toy_hoi_cls_val", fontsize=9)
        axis.set_ylabel("mAP")
    axes[0].legend(fontsize=8)
    for metric in ("mAP", "mAP_few10"):
        values = np.array([[r[metric] for r in results[f"gamma {g}"]] for g in GAMMAS])
        axes[2].plot(GAMMAS, values.mean(axis=1), "-", label=METRICS[metric])
        axes[2].plot(np.repeat(GAMMAS, values.shape[1]), values.ravel(), "k.", markersize=3)
    axes[2].set_xscale("log")
    axes[2].set_xticks(GAMMAS, GAMMAS, fontsize=8)
    axes[2].minorticks_off()
    axes[2].set_title("gamma: language rows, LSE-Sign", fontsize=9)
    axes[2].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def ship(path: Path, seen: dict[str, Seen], *, steps: int) -> None:
    """Trains language rows with LSE-Sign and writes them where the package keeps its weights."""
    cfg = config([], seed=1, steps=steps)
    torch.manual_seed(1)
    model = train(cfg, seen["train"])
    print(json.dumps(evaluate(model, seen["val"], "toy_hoi_cls_val"), indent=1))
    HOICheckpointer(model.half()).save_weights(path, cfg=cfg)


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=250, help="of 64 images")
    parser.add_argument("--variants", nargs="+", default=list(variants()), choices=list(variants()))
    parser.add_argument("--output", type=Path, default=Path("output/defr_ablation"))
    parser.add_argument("--ship", type=Path, help="train the shipped weights instead")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    seen = images(args.output)
    if args.ship:
        ship(args.ship, seen, steps=1500)
        return 0
    results: dict[str, list[dict]] = {name: [] for name in args.variants}
    for seed in args.seeds:
        for name in args.variants:
            start = time.process_time()
            file = args.output / name.replace(" ", "_").replace(",", "") / f"{seed}.json"
            metrics = run(variants()[name], seed=seed, steps=args.steps, seen=seen, file=file)
            results[name].append(metrics)
            taken = time.process_time() - start
            print(f"{name}, seed {seed}: {metrics['mAP']:.2f} ({taken:.0f} s)", flush=True)
    text = table(results)
    print(text)
    (args.output / "table.md").write_text(text + "\n")
    (args.output / "results.json").write_text(json.dumps(results, indent=1))
    if set(variants()) <= set(results):
        plot(results, args.output / "ablation.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
