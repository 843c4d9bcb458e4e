#!/usr/bin/env python
"""What alignment with sentences brings to the layout RmLR on HICO-DET: variants x seeds, a table.

python projects/alignment/run.py DATA --variants none both-fixed-output-0.3 --seeds 1 2 3 --test
python projects/alignment/run.py DATA --variants none both-fixed-output-0.3 --unseen rf_uc

DATA is the folder of `trainval_hico.json` and `test_hico.json`.

A run that is on disk is not repeated; `--table` only prints what is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from layouts import Layouts, batches, groups, load, score
from tabulate import tabulate
from text import sentences_found
from torch import Tensor

from hoi_d2.config.load import load_config
from hoi_d2.modeling.meta_arch.layout import LayoutRmLR
from hoi_d2.solver.build import build_lr_scheduler, build_optimizer

CML = "MODEL.RMLR.CML"
_CONFIG = Path(__file__).parent / "layout.yaml"
_LAST = 50  # steps that the losses are a mean over
LEVELS = {"sentence": (1.0, 0.0), "word": (0.0, 1.0), "both": (1.0, 1.0)}
PLACES = {
    # L^m on what the IRM computes; on its input, beside the IRM; on its input, which the IRM reads
    "output": [f"{CML}.IRM_VECTORS", "output", f"{CML}.FEEDS_IRM", False],
    "beside": [f"{CML}.IRM_VECTORS", "input", f"{CML}.FEEDS_IRM", False],
    "input": [f"{CML}.IRM_VECTORS", "input", f"{CML}.FEEDS_IRM", True],
    "output+input": [f"{CML}.IRM_VECTORS", "output", f"{CML}.FEEDS_IRM", True],
}


def _aligned(level: str, attention: str, place: str, weight: float) -> list[Any]:
    sentence, word = (weight * w for w in LEVELS[level])
    options = [f"{CML}.SENTENCE_IRM_WEIGHT", sentence, f"{CML}.WORD_IRM_WEIGHT", word]
    return [*options, f"{CML}.CROSS_ATTENTION", attention, *PLACES[place]]


def variants() -> dict[str, list[Any]]:
    """Name -> options. `LEVEL-ATTENTION-PLACE-WEIGHT`, and the rows without a text."""
    found: dict[str, list[Any]] = {
        "none": [f"{CML}.ENABLED", False],
        # the layers that cross-modal learning adds for the IRM to read, and no text
        "layers": [*_aligned("both", "fixed", "input", 0.0)],
    }
    for place in PLACES:
        for weight in (0.1, 0.3, 1.0):
            for attention in ("mean", "fixed", "learnt", "layer"):
                for level in LEVELS:
                    name = f"{level}-{attention}-{place}-{weight:g}"
                    found[name] = _aligned(level, attention, place, weight)
            # Table 2's [CLS] row: one vector of fixed length stands for a pair's sentences
            found[f"cls-{place}-{weight:g}"] = [
                *_aligned("sentence", "mean", place, weight),
                *("MODEL.LANGUAGE.POOLING", "cls"),
            ]
    return found


def build(name: str, options: list[Any]) -> tuple[LayoutRmLR, CfgNode]:
    """The model of a variant, and its config."""
    cfg = load_config(_CONFIG, ["MODEL.DEVICE", "cpu", *options, *variants()[name]])
    return build_model(cfg), cfg


def train(name: str, seed: int, layouts: Layouts, options: list[Any]) -> tuple[LayoutRmLR, dict]:
    """Trains a variant; the model, and the mean of each loss over the last steps."""
    torch.manual_seed(seed)
    model, cfg = build(name, options)
    model.train().prepare_training()
    optimizer = build_optimizer(cfg, model)
    scheduler = build_lr_scheduler(cfg, optimizer)
    trained = [p for p in model.parameters() if p.requires_grad]
    history: list[dict[str, Tensor]] = []
    for batch in batches(layouts, cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, seed):
        losses = model(batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(trained, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE)
        optimizer.step()
        scheduler.step()
        history.append({k: v.detach() for k, v in losses.items()})
    last = history[-_LAST:]
    return model, {k: float(torch.stack([h[k] for h in last]).mean()) for k in last[0]}


def run(name: str, seed: int, data: dict[str, Layouts], args: argparse.Namespace) -> dict:
    """The figures of one run; read from disk if they are there."""
    file = args.output / name / f"{seed}.json"
    weights = file.with_suffix(".pt")
    file.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    if not found:
        start = time.time()
        model, found["losses"] = train(name, seed, data["train"], args.options)
        found["seconds"] = round(time.time() - start)
        found["val"] = score(model, data["val"], args.unseen)
        if model.alignment is not None:
            found["text"] = sentences_found(model, data["val"])
        torch.save(model.state_dict(), weights)
    if args.test and "test" not in found:
        model = build(name, args.options)[0]
        model.load_state_dict(torch.load(weights, weights_only=True))
        found["test"] = score(model, data["test"], args.unseen)
    file.write_text(json.dumps(found, indent=1))
    return found


def table(output: Path, part: str, unseen: str = "") -> str:
    """Mean and standard deviation over the seeds of every variant on disk, in Markdown."""
    rows, columns = [], ("all", *groups(unseen))
    for name in variants():
        runs = [json.loads(f.read_text()) for f in sorted((output / name).glob("*.json"))]
        runs = [r for r in runs if part in r]
        if not runs:
            continue
        values = np.array([[r[part][c] for c in columns] for r in runs])
        cells = [f"{v:.2f}" for v in values.mean(axis=0)]
        if len(runs) > 1:
            cells = [f"{c} ± {s:.2f}" for c, s in zip(cells, values.std(axis=0, ddof=1))]
        rows.append([name, len(runs), *cells])
    headers = ["variant", "seeds", *columns]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of trainval_hico.json and test_hico.json")
    parser.add_argument("--variants", nargs="+", default=["none"], choices=list(variants()))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--test", action="store_true", help="score the test set as well")
    parser.add_argument("--unseen", default="", help="zero-shot split to train on, e.g. rf_uc")
    parser.add_argument("--table", action="store_true", help="only print what is on disk")
    parser.add_argument("--output", type=Path, default=Path("output/alignment"))
    parser.add_argument("--options", nargs="*", default=[], help="KEY VALUE, ... for all variants")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.output /= args.unseen
    data = {}
    if not args.table:
        data = load(args.data, with_test=args.test, unseen=args.unseen)
    for seed in [] if args.table else args.seeds:
        for name in args.variants:
            found = run(name, seed, data, args)
            print(f"{name}, seed {seed}: {json.dumps(found)}", flush=True)
    for part in ("val", "test"):
        print(f"\n{part}\n{table(args.output, part, args.unseen)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
