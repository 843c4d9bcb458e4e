#!/usr/bin/env python
"""What the IRE and the masked RoI bring on the toy world: variants x seeds, table, JSON, plot.

python projects/toy_ablation/run.py --seeds 1 2 3 --output output/toy_ablation

The shipped weights are the first variant with more iterations:
python projects/toy_ablation/run.py --variants "RmLR (visual half)" --seeds 1 --iterations 4000 \
    --flip --output output/toy_shipped
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

import hoi_d2  # first: makes detectron2 importable where it has no compiled part

# isort: split
import matplotlib.pyplot as plt
import numpy as np
import torch
from detectron2.config import get_cfg
from detectron2.structures import Instances
from tabulate import tabulate
from torch import Tensor, nn
from torch.nn import functional as F

from hoi_d2.engine.trainer import HOITrainer
from hoi_d2.model_zoo import config_file
from hoi_d2.modeling.entity_detector.build import Entities

VARIANTS = {
    "RmLR (visual half)": [],
    "without IRE": ["MODEL.RMLR.IRE.ENABLED", False],
    "without masked RoI": ["MODEL.RMLR.MASKED_ROI.MASK", "image"],
    "without both": ["MODEL.RMLR.MASKED_ROI.MASK", "none"],
}
METRICS = ("full", "rare", "nonrare")


class RememberingDetector(nn.Module):
    """A frozen detector that looks at each picture once; what it found is kept in memory.

    Right because the detector is frozen, padding changes nothing
    (tests/modeling/meta_arch/test_rmlr.py), and the key is the picture's own bytes.
    """

    memory: dict[int, tuple[Instances, Tensor]] = {}

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector
        self.token_dim = detector.token_dim

    def preprocess(self, batched_inputs: list[dict]):
        keys = [hash(x["image"].numpy().tobytes()) for x in batched_inputs]
        for key, x in zip(keys, batched_inputs):
            if key not in self.memory:
                images, mask = self.detector.preprocess([x])
                found = self.detector.detect(images, mask)
                self.memory[key] = found.instances[0], found.feature_map[0].half()
        return keys, None

    def detect(self, keys: list[int], mask: None) -> Entities:
        instances, maps = zip(*(self.memory[key] for key in keys))
        height, width = (max(m.shape[d] for m in maps) for d in (1, 2))
        padded, inside = [], torch.zeros(len(maps), height, width, dtype=torch.bool)
        for row, m in zip(inside, maps):
            row[: m.shape[1], : m.shape[2]] = True
            padded.append(F.pad(m.float(), (0, width - m.shape[2], 0, height - m.shape[1])))
        return Entities(list(instances), torch.stack(padded), inside)


def train_and_evaluate(options: list, seed: int, output: Path, iterations: int, flip: str) -> dict:
    """Metrics of one run; a run that is on disk is not repeated."""
    if (output / "metrics.json").exists():
        return json.loads((output / "metrics.json").read_text())
    cfg = get_cfg()
    hoi_d2.add_hoi_config(cfg)
    cfg.merge_from_file(config_file("toy/rmlr.yaml"))
    cfg.merge_from_list(
        [
            *("MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(output), "SEED", seed),
            *("SOLVER.MAX_ITER", iterations, "SOLVER.CHECKPOINT_PERIOD", iterations),
            *("INPUT.RANDOM_FLIP", flip),
            *options,
        ]
    )
    cfg.freeze()
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    np.random.seed(seed)
    trainer = HOITrainer(cfg)
    trainer.model.entity_detector = RememberingDetector(trainer.model.entity_detector)
    trainer.train()
    return json.loads((output / "metrics.json").read_text())


def table(results: dict[str, list[dict]]) -> str:
    """Mean and standard deviation over the seeds, in Markdown."""
    rows = []
    for name, runs in results.items():
        row = [name]
        for metric in METRICS:
            values = np.array([run[f"hico_det/mAP_default_{metric}"] for run in runs])
            row.append(f"{values.mean():.2f} ± {values.std(ddof=min(1, len(values) - 1)):.2f}")
        rows.append(row)
    return tabulate(rows, headers=["variant", *METRICS], tablefmt="github")


def plot(results: dict[str, list[dict]], path: Path) -> None:
    """One group of bars a metric, a dot a seed."""
    figure, axes = plt.subplots(figsize=(7, 3.5))
    width = 0.8 / len(results)
    for position, (name, runs) in enumerate(results.items()):
        values = np.array([[r[f"hico_det/mAP_default_{m}"] for m in METRICS] for r in runs])
        x = np.arange(len(METRICS)) + (position - (len(results) - 1) / 2) * width
        axes.bar(x, values.mean(axis=0), width, label=name, alpha=0.8)
        axes.plot(np.repeat(x, len(runs)), values.T.ravel(), "k.", markersize=3)
    axes.set_xticks(range(len(METRICS)), METRICS)
    axes.set_ylabel("mAP, toy_hoi_val")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--flip", action="store_true", help="also train on mirrored pictures")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--output", type=Path, default=Path("output/toy_ablation"))
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    results: dict[str, list[dict]] = {name: [] for name in args.variants}
    for seed in args.seeds:
        for name in args.variants:
            start = time.time()
            folder = args.output / name.replace(" ", "_") / str(seed)
            flip = "horizontal" if args.flip else "none"
            metrics = train_and_evaluate(VARIANTS[name], seed, folder, args.iterations, flip)
            results[name].append(metrics | {"seed": seed})
            full = metrics["hico_det/mAP_default_full"]
            print(f"{name}, seed {seed}: full {full:.2f} ({time.time() - start:.0f} s)", flush=True)
            (args.output / "results.json").write_text(json.dumps(results, indent=1))
    print(table(results))
    plot(results, args.output / "ablation.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
