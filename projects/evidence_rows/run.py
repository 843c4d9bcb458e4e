#!/usr/bin/env python
"""Rows, losses and unseen classes on HICO-DET's annotations: tables, JSON, plot.

python projects/evidence_rows/run.py $HOI_D2_TEST_DATA/hico_det --output output/evidence_rows

A run that is on disk is not repeated. `--write` puts tables and plot into the project's README.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path

import hoi_d2  # noqa: F401  first: makes detectron2 importable without its compiled part

# isort: split
import numpy as np
import torch
from pairs import HOIS, Pairs, load
from report import FEW, SPLITS, write_report
from scorer import Scorer
from trunk import LOSSES, MINILM_VERBS, ROWS, VERB_ROWS, Recogniser, Seen, Variant, logits_of, train

from hoi_d2.data.vocabulary import hico_det_rare_hois, hico_det_unseen_hois, hico_few_shot_hois

GAMMAS = (5, 20, 80)
UNSEEN_ROWS = ("random", "factor", "MiniLM", VERB_ROWS, MINILM_VERBS)


class Study:
    """Data, trained models and scores, each made once and kept in a folder.

    Args:
        annotations: folder of HICO-DET's annotation files.
        output: the folder.
    """

    def __init__(self, annotations: Path, output: Path) -> None:
        self.output = output
        self.parts = load(annotations, output)
        self.scorers: dict[str, Scorer] = {}
        self.seen: dict[str, Seen] = {}

    def pairs(self, part: str) -> Pairs:
        return self.parts[part][1]

    def model(self, variant: Variant, *, seed: int, split: str = "") -> Recogniser:
        """Trained on nine tenths of the images, without the unseen classes of a split."""
        pairs = self.pairs("train")
        if split not in self.seen:
            self.seen[split] = Seen.of(pairs, hico_det_unseen_hois(split) if split else ())
        file = self._file(variant, seed, split, "pt")
        if file.exists():
            model = Recogniser(variant, pairs.features.shape[1])
            model.load_state_dict(torch.load(file, weights_only=True))
            return model.eval()
        start = time.process_time()
        model = train(variant, pairs, self.seen[split], seed=seed)
        print(f"{file.stem}: {time.process_time() - start:.1f} s", flush=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), file)
        return model

    def scores(self, variant: Variant, part: str, *, seed: int, split: str = "") -> dict:
        """Means over groups of classes, in percent."""
        file = self._file(variant, seed, split, f"{part}.json")
        if not file.exists():
            logits = logits_of(
                self.model(variant, seed=seed, split=split), variant, self.pairs(part)
            )
            if part not in self.scorers:
                self.scorers[part] = Scorer(*self.parts[part])
            ap = self.scorers[part].average_precision(logits)
            file.write_text(json.dumps(self._means(100 * ap, part, split)))
        return json.loads(file.read_text())

    def _means(self, ap: np.ndarray, part: str, split: str) -> dict[str, float]:
        """Validation images do not show every class; these are left out of the means."""
        groups = {"all": range(len(ap)), "rare": hico_det_rare_hois()}
        groups |= {name: hico_few_shot_hois()[number] for name, number in FEW.items()}
        unseen = hico_det_unseen_hois(split) if split else ()
        groups |= {"unseen": unseen, "seen": sorted(set(range(len(ap))) - set(unseen))}
        shown = np.flatnonzero((self.pairs(part).labels == 1).any(dim=0).numpy())
        if part == "test":
            shown = np.arange(len(ap))
        chosen = {name: np.intersect1d(list(group), shown) for name, group in groups.items()}
        return {name: float(ap[ids].mean()) for name, ids in chosen.items() if len(ids)}

    def _file(self, variant: Variant, seed: int, split: str, ending: str) -> Path:
        name = f"{variant.rows}_{variant.loss}_{variant.gamma}".replace(" ", "_")
        return self.output / (split or "all") / f"{name}_{seed}.{ending}"

    def tuned(self, rows: str, loss: str) -> Variant:
        """The gamma with the best mean over all classes of the validation images, seed 1."""
        choices = [Variant(rows, loss, gamma) for gamma in GAMMAS]
        return max(choices, key=lambda v: self.scores(v, "val", seed=1)["all"])


def rows_and_losses(study: Study, seeds: list[int]) -> list[dict]:
    """Test scores of every kind of rows with every loss, each at its best gamma."""
    table = []
    for seed in seeds:
        for loss in LOSSES:
            for rows in ROWS:
                variant = study.tuned(rows, loss)
                scores = study.scores(variant, "test", seed=seed)
                tried = {g: study.scores(replace(variant, gamma=g), "val", seed=1) for g in GAMMAS}
                table.append({**vars(variant), "seed": seed, "test": scores, "val": tried})
    return table


def unseen_classes(study: Study, seeds: list[int]) -> list[dict]:
    """Test scores without a pair of the unseen classes; gamma is that of the closed set."""
    table = []
    for seed in seeds:
        for split in SPLITS:
            for rows in UNSEEN_ROWS:
                variant = study.tuned(rows, "LSE-Sign")
                scores = study.scores(variant, "test", seed=seed, split=split)
                table.append({**vars(variant), "split": split, "seed": seed, "test": scores})
    return table


def counted(study: Study) -> dict[str, int]:
    """What the tables were made of."""
    pairs = study.pairs("train")
    shown = (pairs.labels == 1).any(dim=0)
    return {
        "train_pairs": len(pairs),
        "annotated_pairs": int((pairs.labels == 1).any(dim=1).sum()),
        "test_pairs": len(study.pairs("test")),
        "classes_without_training_pair": int((~shown).sum()),
        "classes": len(HOIS),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, help="folder of HICO-DET's annotation files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--output", type=Path, default=Path("output/evidence_rows"))
    parser.add_argument("--write", action="store_true", help="README and plot of this folder")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    study = Study(args.annotations, args.output)
    results = {"counted": counted(study), "rows": [], "unseen": []}
    for seed in args.seeds:
        results["rows"] += rows_and_losses(study, [seed])
        results["unseen"] += unseen_classes(study, [seed])
        (args.output / "results.json").write_text(json.dumps(results, indent=1))
    write_report(results, Path(__file__).parent if args.write else args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
