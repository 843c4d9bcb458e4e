#!/usr/bin/env python
"""Learns the annotated real images by heart: detector, then RmLR on HICO-DET's and V-COCO's form.

python projects/overfit_check/run.py $HOI_D2_TEST_DATA --output output/overfit_check
python projects/overfit_check/run.py $HOI_D2_TEST_DATA --ground-truth-boxes --output output/oracle

Exit code 0: the mean AP of both is above 90 in the end.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from pathlib import Path

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import make_real_subset
import matplotlib.pyplot as plt
import numpy as np
from detectron2.config import CfgNode
from detectron2.engine import HookBase

from hoi_d2.config.load import load_config
from hoi_d2.data.dataset import open_dataset
from hoi_d2.engine.trainer import HOITrainer
from hoi_d2.evaluation.average_precision import Ranking, all_point_ap, hits_of
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.visualization.pages.comparison import compare

HERE = Path(__file__).parent
GOAL = 90.0
GROUND_TRUTH_BOXES = [
    *("MODEL.ENTITY_DETECTOR.NAME", "OracleEntityDetector"),
    *("MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE", "ground_truth"),
    *("MODEL.RMLR.PAIRS.NMS_THRESHOLD", 1.0, "MODEL.RMLR.PAIRS.MAX_INSTANCES", 100),
]
"""The annotated boxes as entities, with the toy detector's map and tokens."""
FORMS = {
    "hico_det_train": ("hico_det_per_class.csv", "AP_default", "hoi"),
    "vcoco_trainval": ("vcoco_per_class.csv", "AP_role_s1", "verb"),
}
"""Data set -> its table of classes, the column looked at, what a row stands for."""


class Curve(HookBase):
    """Two numbers after each evaluation, both from the run's own result file.

    The mean AP over the classes that the images show: the official means run over 600 and 24
    classes, of which so few images show a handful. And one AP over all detections of all classes
    in one ranking, in which a wrong verb costs even if no other image has it.

    Args:
        dataset: a key of `FORMS`.
        folder: where the run's evaluator writes its table.
    """

    def __init__(self, dataset: str, folder: Path) -> None:
        table, self.column, kind = FORMS[dataset]
        self.folder, self.table, self.name = folder, folder / table, dataset
        self.dataset = open_dataset(dataset)
        pairs = [p for r in self.dataset.records for p in r["hoi_annotations"] if p["object"] >= 0]
        self.classes = sorted({p[kind] for p in pairs})
        self.points: list[tuple[int, float, float]] = []

    def before_train(self) -> None:
        self.trainer.evaluate()
        self._read(0)

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if done % self.trainer.cfg.TEST.EVAL_PERIOD == 0 and done != self.trainer.max_iter:
            self._read(done)

    def after_train(self) -> None:
        self._read(self.trainer.iter)

    def _read(self, iteration: int) -> None:
        with self.table.open() as file:
            rows = list(csv.DictReader(file))
        values = [float(rows[c][self.column]) for c in self.classes]
        point = (iteration, sum(values) / len(values), self._in_one_ranking())
        self.points.append(point)
        print("{}, iteration {}: {:.1f} {:.1f}".format(self.name, *point), flush=True)

    def _in_one_ranking(self) -> float:
        results = read_results(self.folder / "hoi_results.json")
        data = self.dataset
        found = compare(results, data.records, data.vocabulary, evaluator_type=data.evaluator_type)
        rows = found.ranking.rows
        rows = rows[np.argsort(-found.results.scores[rows], kind="stable")]
        annotated = np.array([(found.judgement.truth_classes >= 0).sum()])
        together = Ranking(rows, np.zeros_like(rows), found.judgement.hit[rows], annotated)
        return 100 * float(all_point_ap(hits_of(together))[0])


def config(name: str, output: Path, options: list) -> CfgNode:
    """A config of this folder, on the CPU."""
    options = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(output), *options]
    cfg = load_config(str(HERE / name), options)
    cfg.freeze()
    output.mkdir(parents=True, exist_ok=True)
    return cfg


def train_detector(output: Path) -> tuple[Path, dict[str, float]]:
    """The weights, and the box AP on the images; what is on disk is not trained again."""
    weights = output / "model_final.pth"
    if not weights.exists():
        trainer = HOITrainer(config("detr.yaml", output, []))
        trainer.resume_or_load(resume=False)
        trainer.train()
    metrics = json.loads((output / "metrics.json").read_text())
    return weights, {name: metrics[f"bbox/{name}"] for name in ("AP", "AP50")}


def train_heads(dataset: str, options: list, output: Path) -> dict:
    """RmLR on one data set; `options` say where its entities come from."""
    sets = ["DATASETS.TRAIN", (dataset,), "DATASETS.TEST", (dataset,)]
    trainer = HOITrainer(config("rmlr.yaml", output, [*sets, *options]))
    curve = Curve(dataset, output / "inference" / dataset)
    trainer.register_hooks([curve])
    start = time.time()
    trainer.train()
    return {
        "column": curve.column,
        "classes": len(curve.classes),
        "points": curve.points,
        "seconds": round(time.time() - start),
    }


def plot(results: dict[str, dict], path: Path) -> None:
    """AP on the images that were trained on, a line for each form."""
    figure, axes = plt.subplots(figsize=(6, 3.5))
    for number, (name, result) in enumerate(results.items()):
        iterations, means, together = zip(*result["points"])
        label = f"{name}: {result['column']}, mean of {result['classes']} classes"
        axes.plot(iterations, means, f"C{number}.-", label=label)
        axes.plot(iterations, together, f"C{number}.--", label=f"{name}: all in one ranking")
    axes.axhline(GOAL, color="grey", linewidth=0.8, linestyle="--")
    axes.set(xlabel="iteration of RmLR's heads", ylabel="AP on the training images")
    axes.set(ylim=(0, 102))
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder that HOI_D2_TEST_DATA names")
    parser.add_argument("--output", type=Path, default=Path("output/overfit_check"))
    parser.add_argument(
        "--ground-truth-boxes", action="store_true", help="train no detector: a tenth of the time"
    )
    args = parser.parse_args()
    root = args.output / "datasets"
    make_real_subset.write_hico_det(args.data, root)
    make_real_subset.write_vcoco(args.data, root)
    os.environ["DETECTRON2_DATASETS"] = str(root.absolute())
    options, boxes = GROUND_TRUTH_BOXES, {}
    if not args.ground_truth_boxes:
        weights, boxes = train_detector(args.output / "detr")
        options = ["MODEL.ENTITY_DETECTOR.WEIGHTS", str(weights)]
        print(f"boxes of vcoco_trainval: {boxes}", flush=True)
    results = {name: train_heads(name, options, args.output / name) for name in FORMS}
    plot(results, args.output / "curve.png")
    (args.output / "results.json").write_text(json.dumps({"boxes": boxes} | results, indent=1))
    last = [result["points"][-1][1] for result in results.values()]
    return 0 if min(last) > GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
