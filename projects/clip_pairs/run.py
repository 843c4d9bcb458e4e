#!/usr/bin/env python
"""What annotated pairs teach a frozen DEFR: CLIP-Pairs against DEFR-Det on the toy world.

python projects/clip_pairs/run.py --seeds 1 2 3 --output output/clip_pairs --write

Choices are made on a tenth of the training images; the test images are scored once.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model

sys.path.append(str(Path(__file__).parents[1] / "evidence_rows"))  # whose tables look the same

from report import filled
from seen import Seen, evaluate, look, part_of, train
from tabulate import tabulate

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.data.holdout import hold_out
from hoi_d2.inference.predictor import read_config
from hoi_d2.modeling.meta_arch.clip_pairs import CLIPPairs

README = Path(__file__).parent / "README.md"
BOXES = {
    "detector": (),
    "annotated boxes": (
        *("MODEL.ENTITY_DETECTOR.NAME", "PrecomputedEntityDetector"),
        *("MODEL.ENTITY_DETECTOR.WEIGHTS", ""),
        *("MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE", "ground_truth"),
    ),
}
VARIANTS = {
    "rows": ("MODEL.CLIP_PAIRS.ADAPTER_DIM", 0, "MODEL.CLIP_PAIRS.TRAIN_ROWS", True),
    "adapter": ("MODEL.CLIP_PAIRS.TRAIN_ROWS", False),
    "adapter and rows": ("MODEL.CLIP_PAIRS.TRAIN_ROWS", True),
}
UNTRAINED = "nothing (DEFR-Det)"
LOSSES, RATES, STEPS = ("VerbFocalLoss", "VerbLSESign"), (0.001, 0.003), 400
POWERS, TEMPERATURES = (0.0, 1.0, 2.8), (1.0, 10.0)
METRIC = "mAP_default_full"
METRICS = (METRIC, "mAP_default_rare", "mAP_default_nonrare")
Setting = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", default="toy/clip_pairs.yaml", metavar="F")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--output", type=Path, default=Path("output/clip_pairs"), metavar="DIR")
    parser.add_argument("--train", type=int, default=2000, help="training images; 0 = all")
    parser.add_argument("--test", type=int, default=0, help="validation and test; 0 = all")
    parser.add_argument("--write", action="store_true", help="write the tables into README.md")
    args = parser.parse_args(arguments)
    hoi_d2.register()
    args.output.mkdir(parents=True, exist_ok=True)
    study = Study(args.config_file, train=args.train, test=args.test)
    choices = {UNTRAINED: study.choose_untrained()}
    choices |= {variant: study.choose(variant) for variant in VARIANTS}
    tables = {
        "results": [study.test(v, choice, args.seeds) for v, choice in choices.items()],
        "unseen": study.unseen(choices, args.seeds),
        "choices": study.log,
    }
    (args.output / "tables.json").write_text(json.dumps(tables, indent=1) + "\n")
    report(tables, write=args.write)
    return 0


class Study:
    """Looks at the images once, then trains and scores.

    Args:
        config: the config file.
        train, test: so many images to train on, and at most to score; 0 = all.
    """

    def __init__(self, config: str, *, train: int = 0, test: int = 0) -> None:
        self.config, self.log = config, []
        cfg = self.cfg()
        self.train_set, self.test_set = cfg.DATASETS.TRAIN[0], cfg.DATASETS.TEST[0]
        rest, held = hold_out(DatasetCatalog.get(self.train_set))
        tested = DatasetCatalog.get(self.test_set)[: test or None]

        def seen(name: str, suffix: str, records: list[dict], **options: Any) -> Seen:
            cfg = self.cfg({}, 1, *options.pop("more", ()))
            part = part_of(name, suffix, records)
            return look(cfg, self.model(cfg), part, **options)

        self.train = seen(self.train_set, "rest", rest[: train or None], for_training=True)
        self.validation = seen(self.train_set, "held_out", held[: test or None])
        self.tests = [
            seen(self.test_set, boxes.split()[0], tested, more=more)
            for boxes, more in BOXES.items()
        ]

    def cfg(self, setting: Setting | None = None, seed: int = 1, *more: Any) -> CfgNode:
        """The config of a setting."""
        s = setting or {}
        options = [*VARIANTS.get(s.get("variant", ""), ()), "SEED", seed]
        if "loss" in s:
            options += ["MODEL.RMLR.LOSS.NAME", s["loss"], "SOLVER.BASE_LR", s["rate"]]
            options += ["SOLVER.MAX_ITER", STEPS]
        return read_config(self.config, [*options, *more, "MODEL.DEVICE", "cpu"])

    def model(self, cfg: CfgNode) -> CLIPPairs:
        """With the weights that the config names; the adapter is new."""
        torch.manual_seed(cfg.SEED)
        model = build_model(cfg)
        HOICheckpointer(model).load(cfg.MODEL.WEIGHTS, strict=False)
        return model.eval()

    def models(self, variant: str, setting: Setting, seeds: list[int], *more: Any) -> list:
        """The models of a row: DEFR-Det, or one training for each seed."""
        if variant == UNTRAINED:
            return [self.model(self.cfg({}, 1, *more))]
        return [self.trained(setting, seed, *more) for seed in seeds]

    def trained(self, setting: Setting, seed: int, *more: Any) -> CLIPPairs:
        cfg = self.cfg(setting, seed, *more)
        model = self.model(cfg)
        train(cfg, model, self.train)
        return model

    def choose_untrained(self) -> Setting:
        """Power and temperature of DEFR-Det, on the validation images."""
        return self.best(UNTRAINED, [({}, self.model(self.cfg()))], TEMPERATURES)

    def choose(self, variant: str) -> Setting:
        """Loss, rate and power of a variant, on the validation images, seed 1."""
        settings = [
            {"variant": variant, "loss": loss, "rate": rate}
            for loss, rate in product(LOSSES, RATES)
        ]
        return self.best(variant, [(s, self.trained(s, 1)) for s in settings], (1.0,))

    def best(self, variant: str, models: list, temperatures: tuple[float, ...]) -> Setting:
        found = []
        for setting, model in models:
            tried = [{"power": p, "temperature": t} for p, t in product(POWERS, temperatures)]
            values = [evaluate(model, self.validation, **how)[METRIC] for how in tried]
            value, how = max(zip(values, tried), key=lambda pair: pair[0])
            found.append((value, setting | how))
            self.log.append([variant, *words(setting | how), f"{value:.2f}"])
            print(*self.log[-1], flush=True)
        return max(found, key=lambda pair: pair[0])[1]

    def test(self, variant: str, choice: Setting, seeds: list[int]) -> list[str]:
        """The cells of a row: full, rare, non-rare with the detector's and annotated boxes."""
        how, models = scoring(choice), self.models(variant, choice, seeds)
        row = [variant]
        for seen in self.tests:
            metrics = [evaluate(model, seen, **how) for model in models]
            row += [spread([m[name] for m in metrics]) for name in METRICS]
        print(*row, flush=True)
        return row

    def unseen(self, choices: dict[str, Setting], seeds: list[int]) -> list[list[str]]:
        """Every fifth class has no training pair: what its rows are worth then."""
        classes = MetadataCatalog.get(self.test_set).evaluated_hois
        groups = {"unseen": classes[2::5], "seen": [c for c in classes if c not in classes[2::5]]}
        for seen in (self.train, self.tests[0]):
            MetadataCatalog.get(seen.name).hoi_groups = groups
        options, rows = ("DATASETS.TRAIN", (self.train.name,)), []
        learnt = self.model(self.cfg({}, 1, *options)).targets.learnt_verbs.bool()
        # As `without_unseen`: a pair with an unseen class is no annotated pair any more.
        hidden = (self.train.verbs & ~learnt[self.train.object_classes]).any(dim=1)
        self.train.verbs[hidden] = False
        for variant, choice in choices.items():
            models = self.models(variant, choice, seeds, *options)
            metrics = [evaluate(model, self.tests[0], **scoring(choice)) for model in models]
            names = [f"mAP_default_{group}" for group in ("unseen", "seen", "full")]
            rows.append([variant, *(spread([m[name] for m in metrics]) for name in names)])
            print(*rows[-1], flush=True)
        return rows


def scoring(setting: Setting) -> dict[str, float]:
    return {k: setting[k] for k in ("power", "temperature")}


def words(setting: Setting) -> list[str]:
    """Loss, rate, power and temperature as cells."""
    rate = f"{setting['rate']:g}" if "rate" in setting else ""
    power, temperature = (f"{setting[k]:g}" for k in ("power", "temperature"))
    return [setting.get("loss", ""), rate, power, temperature]


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{mean(values):.2f} ± {stdev(values):.2f}"


def report(tables: dict[str, list], *, write: bool) -> None:
    """Prints the tables, and writes them into README.md."""
    metrics = [f"{boxes}: {metric}" for boxes in BOXES for metric in ("full", "rare", "non-rare")]
    headers = {
        "results": ["trained", *metrics],
        "unseen": ["trained", "unseen", "seen", "full"],
        "choices": ["trained", "loss", "rate", "power", "temperature", "validation mAP"],
    }
    page = README.read_text()
    for name, rows in tables.items():
        table = tabulate(rows, headers[name], tablefmt="github", disable_numparse=True)
        print(f"\n{name}\n{table}", flush=True)
        page = filled(page, name, table)
    if write:
        README.write_text(page)


if __name__ == "__main__":
    raise SystemExit(main())
