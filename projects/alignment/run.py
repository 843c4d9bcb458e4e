#!/usr/bin/env python
"""What alignment with sentences brings to the layout RmLR on HICO-DET: variants x seeds, tables.

python projects/alignment/run.py $HOI_D2_TEST_DATA/hico_det --output output/alignment

A run that is on disk is not repeated. `--write` puts the tables into the project's README.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import torch
from figures import plot
from study import WEIGHTS, Run, Study
from tables import write_report
from variants import NONE, STEPS_AN_EPOCH, Variant

SPLITS = ("rf_uc", "nf_uc", "uo", "uv")
BOTH = Variant("both")
LEVELS = (
    *(NONE, Variant("layers"), Variant("sentence"), Variant("word")),
    *(Variant("cls", "mean"), BOTH, Variant("both", "learnt"), Variant("both", "layer")),
)
CHOICES = (
    replace(BOTH, place="output+input"),
    replace(BOTH, schedule="falling"),
    *(replace(Variant("sentence"), text=text) for text in ("factor", "centred")),
    replace(BOTH, place="input"),
)
CONTROL_SEEDS = range(1, 8)
LENGTHS = {  # steps and share of the images
    "2 epochs": (2 * STEPS_AN_EPOCH, 1.0),
    "4 epochs": (4 * STEPS_AN_EPOCH, 1.0),
    "a tenth of the images, 10 epochs": (STEPS_AN_EPOCH, 0.1),
}


def levels(study: Study, seeds: list[int]) -> list[dict]:
    """What is aligned and how pairs look at their text; each variant at its best weight."""
    return study.rows([Run(v, s) for v, s in product(study.tuned(LEVELS), seeds)], test=True)


def choices(study: Study, seeds: list[int]) -> list[dict]:
    """Place, schedule and text; the weight is that of the level."""
    weight = {v.level: v.weight for v in study.tuned((Variant("sentence"), BOTH))}
    variants = [replace(v, weight=weight[v.level]) for v in CHOICES]
    return study.rows([Run(v, s) for v, s in product(variants, seeds)], test=True)


def weights(study: Study) -> list[dict]:
    """The validation scores that the weights were chosen by."""
    tried = product([v for v in LEVELS if v.aligns], WEIGHTS)
    return study.rows([Run(replace(v, weight=w), 1) for v, w in tried], test=False)


def unseen(study: Study, seeds: list[int]) -> list[dict]:
    """Without the pairs of a zero-shot split's unseen classes; weights of the closed set."""
    none, both, sentence = study.tuned((NONE, BOTH, Variant("sentence")))
    variants = (none, both, replace(sentence, text="factor"))
    runs = [Run(v, seed, split) for split, v, seed in product(SPLITS, variants, seeds)]
    return study.rows(runs, test=True)


def lengths(study: Study, seeds: list[int]) -> list[dict]:
    """Longer, and with a tenth of the images; weights of the closed set."""
    none, both, sentence = study.tuned((NONE, BOTH, Variant("sentence")))
    compared = (none, both, sentence, replace(sentence, text="factor"))
    variants = [
        replace(v, steps=steps, share=share)
        for (steps, share), v in product(LENGTHS.values(), compared)
    ]
    return study.rows([Run(v, seed) for v, seed in product(variants, seeds)], test=True)


def control(study: Study) -> list[dict]:
    """Sentences against random vectors in their place: four epochs, more seeds."""
    none, sentence = study.tuned((NONE, Variant("sentence")))
    steps = LENGTHS["4 epochs"][0]
    compared = (none, sentence, replace(sentence, text="factor"))
    variants = [replace(v, steps=steps) for v in compared]
    return study.rows([Run(v, s) for s, v in product(CONTROL_SEEDS, variants)], test=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, help="folder of HICO-DET's annotation files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--output", type=Path, default=Path("output/alignment"))
    parser.add_argument("--write", action="store_true", help="into the README of this folder")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)  # also keeps fork safe
    hoi_d2.register()
    study = Study(args.annotations, args.output, jobs=args.jobs)
    results = {"levels": levels(study, args.seeds), "weights": weights(study)}
    results["choices"] = choices(study, args.seeds)
    results["unseen"] = unseen(study, args.seeds)
    results["lengths"] = lengths(study, args.seeds)
    results["control"] = control(study)
    (args.output / "results.json").write_text(json.dumps(results, indent=1))
    names = {length: name for name, length in LENGTHS.items()}
    target = Path(__file__).parent if args.write else args.output
    write_report(results, target, names)
    plot(results, target / "alignment.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
