#!/usr/bin/env python
"""What each part of RmLR brings on the toy world: variants x seeds, table, JSON, plot.

python projects/rmlr_ablation/run.py --seeds 1 2 3 --output output/rmlr_ablation

What is on disk is not run again. The shipped weights are one variant, trained longer:
python projects/rmlr_ablation/run.py --variants "+ masked RoI" --seeds 1 --iterations 2500 \
    --batch 16 --flip --output output/toy_shipped
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import matplotlib.pyplot as plt
import numpy as np
import torch
from remembering_detector import RememberingDetector
from tabulate import tabulate

from hoi_d2.config.load import load_config
from hoi_d2.engine.trainer import HOITrainer

MASK, CML = "MODEL.RMLR.MASKED_ROI.MASK", "MODEL.RMLR.CML"


def _without(level: str) -> list[Any]:
    return [part for s in ("IRM", "IRE") for part in (f"{CML}.{level}_{s}_WEIGHT", 0.0)]


# name -> (config, options). Each row has what the rows before it have, where it begins with "+".
VARIANTS: dict[str, tuple[str, list[Any]]] = {
    "baseline": ("toy/rmlr.yaml", [MASK, "none"]),
    "+ IRE": ("toy/rmlr.yaml", [MASK, "image"]),
    "+ masked RoI": ("toy/rmlr.yaml", []),
    "+ sentence": ("toy/rmlr_aligned.yaml", _without("WORD")),
    "+ word": ("toy/rmlr_aligned.yaml", _without("SENTENCE")),
    "+ both": ("toy/rmlr_aligned.yaml", []),
    "layers of + both, no text": (
        "toy/rmlr_aligned.yaml",
        [*_without("WORD"), *_without("SENTENCE")],
    ),
}
METRICS = ("full", "rare", "nonrare")


def train_and_evaluate(name: str, seed: int, output: Path, options: list[Any]) -> dict[str, float]:
    """Metrics of one run; a run that is on disk is not repeated."""
    if (output / "metrics.json").exists():
        return json.loads((output / "metrics.json").read_text())
    config, of_variant = VARIANTS[name]
    common = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(output), "SEED", seed]
    cfg = load_config(config, [*common, *options, *of_variant])
    cfg.freeze()
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    np.random.seed(seed)
    trainer = HOITrainer(cfg)
    trainer.model.entity_detector = RememberingDetector(trainer.model.entity_detector)
    trainer.train()
    return json.loads((output / "metrics.json").read_text())


def table(results: dict[str, list[dict]]) -> str:
    """Mean and standard deviation over the seeds, and each seed, in Markdown."""
    rows = []
    for name, runs in results.items():
        columns = {m: np.array([r[f"hico_det/mAP_default_{m}"] for r in runs]) for m in METRICS}
        cells = [f"{v.mean():.2f}" for v in columns.values()]
        if len(runs) > 1:
            cells = [f"{v.mean():.2f} ± {v.std(ddof=1):.2f}" for v in columns.values()]
        rows.append([name, *cells, " / ".join(f"{v:.2f}" for v in columns["full"])])
    headers = ["variant", *METRICS, "full, each seed"]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def plot(results: dict[str, list[dict]], path: Path) -> None:
    """One group of bars a metric, a dot a seed."""
    figure, axes = plt.subplots(figsize=(9, 4))
    width = 0.85 / len(results)
    for position, (name, runs) in enumerate(results.items()):
        values = np.array([[r[f"hico_det/mAP_default_{m}"] for m in METRICS] for r in runs])
        x = np.arange(len(METRICS)) + (position - (len(results) - 1) / 2) * width
        color = plt.get_cmap("viridis")(position / max(len(results) - 1, 1))
        axes.bar(x, values.mean(axis=0), width, label=name, color=color, alpha=0.85)
        axes.plot(np.repeat(x, len(runs)), values.T.ravel(), "k.", markersize=3)
    axes.set_xticks(range(len(METRICS)), METRICS)
    axes.set_ylabel("mAP, toy_hoi_val")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--iterations", type=int, default=350)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument(
        "--weight", type=float, help="of each alignment term; default: the config's"
    )
    parser.add_argument("--flip", action="store_true", help="also train on mirrored images")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--output", type=Path, default=Path("output/rmlr_ablation"))
    parser.add_argument("options", nargs="*", help="KEY VALUE, ... for all variants")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    flip = "horizontal" if args.flip else "none"
    options = ["SOLVER.MAX_ITER", args.iterations, "SOLVER.CHECKPOINT_PERIOD", args.iterations]
    options += ["SOLVER.IMS_PER_BATCH", args.batch, "INPUT.RANDOM_FLIP", flip, *args.options]
    if args.weight is not None:
        for term in ("SENTENCE_IRM", "WORD_IRM", "SENTENCE_IRE", "WORD_IRE"):
            options += [f"{CML}.{term}_WEIGHT", args.weight]
    results: dict[str, list[dict]] = {name: [] for name in args.variants}
    for seed in args.seeds:
        for name in args.variants:
            start = time.time()
            folder = args.output / name.replace(" ", "_") / str(seed)
            metrics = train_and_evaluate(name, seed, folder, options)
            results[name].append(metrics | {"seed": seed})
            full = metrics["hico_det/mAP_default_full"]
            print(f"{name}, seed {seed}: full {full:.2f} ({time.time() - start:.0f} s)", flush=True)
            (args.output / "results.json").write_text(json.dumps(results, indent=1))
        done = {name: runs for name, runs in results.items() if runs}
        print(table(done), flush=True)
        plot(done, args.output / "ablation.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
