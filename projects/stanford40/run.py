#!/usr/bin/env python
"""DEFR on Stanford 40: rows, losses, few photographs, masks, figures.

DETECTRON2_DATASETS=$HOI_D2_TEST_DATA python projects/stanford40/run.py --output output/stanford40

A run that is on disk is not repeated. `--parts rows tuned` makes these tables alone. `--write` puts
the tables and those figures that show no photograph into the project's README.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from functools import cached_property
from pathlib import Path

import hoi_d2  # noqa: F401  first: makes detectron2 importable without its compiled part

# isort: split
import numpy as np
import torch
from detectron2.data import DatasetCatalog
from figures import draw_maps, draw_tsne, map_peaks
from fine_tuning import GRID, MORE, FineTuning
from masks import under_masks
from photographs import Photographs, load, pooled
from recogniser import (
    CONFIG,
    FRACTIONS,
    LOSSES,
    ROWS,
    Recogniser,
    Variant,
    few,
    labels_of,
    logits_of,
    train,
)
from tables import write_report
from torch import Tensor

from hoi_d2.config.load import load_config
from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.holdout import hold_out
from hoi_d2.evaluation.image_level_metrics import (
    mean_percent,
    score_image_level,
    stanford40_metrics,
)
from hoi_d2.model_zoo import register_path_handler
from hoi_d2.modeling.image_encoder import ImageEncoder, build_image_encoder
from hoi_d2.registration import register

GAMMAS, STEPS, STEPS_OF_FEW = (5.0, 20.0, 80.0), (400, 1200), (100, 400)
VARIANTS = (  # loss and rows
    *(("LSE-Sign", rows) for rows in ROWS[1:]),
    *((loss, rows) for loss in list(LOSSES)[1:] for rows in ("random", "MiniLM")),
)
PARTS = ("rows", "masks", "tuned", "maps")
_VALIDATION = 0.2  # of the training photographs


class Study:
    """Features, trained models and scores, each made once and kept in a folder.

    Args:
        output: the folder.
        boxes: whether masks are asked for, which need the detector and the crops.
    """

    def __init__(self, output: Path, *, boxes: bool = True) -> None:
        self.output, self.config = output, CONFIG
        records = {name: DatasetCatalog.get(f"stanford40_{name}") for name in ("train", "test")}
        held = {record["image_id"] for record in hold_out(records["train"], share=_VALIDATION)[1]}
        self.records, cfg = records, load_config(CONFIG, [])
        self.actions = vocabulary_of(cfg).verbs
        seen = output / "seen"
        both = {n: load(r, cfg, self.encoder, seen / n, boxes=boxes) for n, r in records.items()}
        is_held = torch.tensor([int(i) in held for i in both["train"].ids])
        everything = torch.arange(len(both["test"]))
        self.places = {"train": (~is_held).nonzero()[:, 0], "val": is_held.nonzero()[:, 0]}
        self.places |= {"test": everything}  # of the records
        self.parts: dict[str, Photographs] = {
            name: both["test" if name == "test" else "train"][rows]
            for name, rows in self.places.items()
        }
        self.features = {name: self._pooled(name, part) for name, part in self.parts.items()}

    def _pooled(self, name: str, part: Photographs) -> Tensor:
        file = self.output / "seen" / f"{name}_pooled.npy"
        if not file.exists():
            np.save(file, pooled(self.encoder, part.maps).numpy())
        return torch.from_numpy(np.load(file))

    @cached_property
    def encoder(self) -> ImageEncoder:
        """The frozen one, without the layer that is trained."""
        cfg = load_config(CONFIG, [])
        cfg.MODEL.IMAGE_ENCODER.OPTIONS.num_classes = 0
        return build_image_encoder(cfg).eval()

    def chosen(self, shots: str, seed: int) -> Tensor:
        """Rows of the training photographs."""
        return few(self.parts["train"].actions, shots, seed=seed)

    def model(self, variant: Variant, shots: str, *, seed: int) -> Recogniser:
        """Trained on these photographs."""
        rows = self.chosen(shots, seed)
        actions = self.parts["train"].actions
        return train(variant, self.features["train"][rows], actions[rows], seed=seed)

    def scores(self, variant: Variant, shots: str, part: str, *, seed: int) -> dict[str, float]:
        """mAP and accuracy in percent; in `tail` also the mAP of its rare actions."""
        name = f"{variant.loss}_{variant.rows}_{variant.gamma:g}_{variant.steps}_{seed}_{part}"
        file = self.output / shots / f"{name.replace(' ', '_')}.json"
        if not file.exists():
            start = time.process_time()
            model = self.model(variant, shots, seed=seed)
            logits = logits_of(model, self.features[part])
            metrics = self.metrics(logits, part, shots, seed)
            print(f"{shots}, {file.stem}: {time.process_time() - start:.1f} s", flush=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(metrics))
        return json.loads(file.read_text())

    def metrics(self, logits: np.ndarray, part: str, shots: str, seed: int) -> dict[str, float]:
        """Of a part's photographs; the seed drew those of the training."""
        labels = labels_of(self.parts[part].actions).numpy()
        metrics = stanford40_metrics(logits, labels)
        if shots == "tail":
            shown = self.parts["train"].actions[self.chosen(shots, seed)].bincount().numpy()
            ap = score_image_level(logits, labels)
            metrics["few5"] = mean_percent(ap, np.flatnonzero(shown <= 5))
        return metrics

    def tuned(self, loss: str, rows: str, shots: str) -> Variant:
        """Steps, then gamma, by mAP on the validation photographs, seed 1."""

        def best(choices: list[Variant]) -> Variant:
            return max(choices, key=lambda v: self.scores(v, shots, "val", seed=1)["mAP"])

        ladder = STEPS_OF_FEW if shots in ("1", "5") else STEPS
        steps = best([Variant(rows, loss, steps=number) for number in ladder]).steps
        return best([Variant(rows, loss, gamma=gamma, steps=steps) for gamma in GAMMAS])


def rows_and_losses(study: Study, seed: int) -> list[dict]:
    """Test scores of each kind of rows with each loss, with all and with few photographs."""
    table = []
    for shots in FRACTIONS:
        for loss, rows in VARIANTS:
            variant = study.tuned(loss, rows, shots)
            scores = study.scores(variant, shots, "test", seed=seed)
            table.append({**vars(variant), "shots": shots, "seed": seed, "test": scores})
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--output", type=Path, default=Path("output/stanford40"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--more", action="store_true", help="also the encoder's runs of hours")
    parser.add_argument("--write", action="store_true", help="README and plots of this folder")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    register()
    register_path_handler()
    study = Study(args.output, boxes=not {"masks", "maps"}.isdisjoint(args.parts))
    grid = (*GRID, *MORE) if args.more else GRID
    makers = {
        "rows": lambda seeds: [row for seed in seeds for row in rows_and_losses(study, seed)],
        "masks": lambda seeds: under_masks(study, seeds),
        "tuned": lambda seeds: FineTuning(study).table(seeds, grid),
        "maps": lambda seeds: map_peaks(study, seeds),
    }
    results = {part: makers[part](args.seeds) for part in args.parts}
    (args.output / "results.json").write_text(json.dumps(results, indent=1))
    target = Path(__file__).parent if args.write else args.output
    write_report(results, target)
    if "maps" in results:
        draw_tsne(study, target / "tsne.png")
        draw_maps(study, args.output / "maps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
