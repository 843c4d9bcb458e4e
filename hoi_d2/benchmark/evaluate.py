"""How long scoring takes, part by part, and how it grows: `tools/benchmark.py evaluate`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.datasets.vcoco import load_vcoco
from hoi_d2.data.vocabulary import hico_det_rare_hois, hico_det_vocabulary, vcoco_vocabulary
from hoi_d2.evaluation.ground_truth import HOIGroundTruth
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.evaluation.results_check import check_results
from hoi_d2.evaluation.scorers import HICODetScorer, VCOCOScorer

_STRIDE = 10_000_000  # added to the image ids of each copy of the data


@dataclass(frozen=True)
class Part:
    """One measured part.

    Args:
        name: what was done.
        cpu_seconds: of this process.
        wall_seconds: on the clock.
    """

    name: str
    cpu_seconds: float
    wall_seconds: float


class Stopwatch:
    """Measures parts one after the other."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def run(self, name: str, work: Callable[[], Any]) -> Any:
        """Does the work and keeps how long it took."""
        cpu, wall = time.process_time(), time.perf_counter()
        result = work()
        took = time.process_time() - cpu, time.perf_counter() - wall
        self.parts.append(Part(name, *took))
        return result


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    args = _parse_args(argv)
    report: dict[str, Any] = {"machine": platform.machine(), "python": platform.python_version()}
    report["hico_det"] = _hico_det(args)
    if args.vcoco_results:
        report["vcoco"] = _vcoco(args)
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmark.py evaluate", description=__doc__)
    add = parser.add_argument
    add("--results", help="HICO-DET results; default: random ones, as many as HICO-DET's test set")
    add("--annotations", help="HICO-DET annotations")
    add("--image-labels", help="anno.mat")
    add("--vcoco-results")
    add("--vcoco-annotations", help="official labels")
    add("--coco-annotations", nargs="+")
    add("--factors", type=int, nargs="+", default=[1, 2, 4, 8], help="copies of the data")
    add("--json", help="writes the figures here as well")
    add("--config-file", help="not used; the other benchmarks need one")
    args = parser.parse_args(argv)
    folder = os.environ.get("HOI_D2_TEST_DATA")
    if folder and not args.results:
        _use_reference(args, Path(folder))
    return args


def _use_reference(args: argparse.Namespace, folder: Path) -> None:
    args.results = folder / "reference/hico_det_results.npz"
    args.annotations = folder / "hico_det/instances_test2015.json"
    args.image_labels = folder / "hico_det/anno.mat"
    vcoco = folder / "reference/vcoco_train"
    args.vcoco_results = vcoco / "results.npz"
    args.vcoco_annotations = vcoco / "vcoco_train.json"
    args.coco_annotations = [vcoco / "instances_vcoco_all_2014.json"]


def _hico_det(args: argparse.Namespace) -> list[dict[str, Any]]:
    if args.image_labels:
        import scipy.io  # noqa: F401  imports are not part of what is measured
    vocabulary, rare = hico_det_vocabulary(), hico_det_rare_hois()
    watch = Stopwatch()
    if args.results:
        records = watch.run("read annotations", lambda: load_hico_det(args.annotations))
        results = watch.run("read results", lambda: read_results(args.results))
    else:
        records = _random_records()
        results = _random_results(records)

    def scorer_of(some: list[dict[str, Any]]) -> HICODetScorer:
        labels = args.image_labels if len(some) == len(records) else None
        return HICODetScorer(some, vocabulary, rare_hois=rare, image_labels_file=labels)

    return _runs("HICO-DET", args.factors, watch, records, results, scorer_of)


def _vcoco(args: argparse.Namespace) -> list[dict[str, Any]]:
    vocabulary, watch = vcoco_vocabulary(), Stopwatch()
    records = watch.run(
        "read annotations",
        lambda: load_vcoco(args.vcoco_annotations, coco_annotations=args.coco_annotations),
    )
    results = watch.run("read results", lambda: read_results(args.vcoco_results))
    return _runs(
        "V-COCO", args.factors, watch, records, results, lambda some: VCOCOScorer(some, vocabulary)
    )


def _runs(
    title: str,
    factors: Sequence[int],
    watch: Stopwatch,
    records: list[dict[str, Any]],
    results: HOIResults,
    scorer_of: Callable[[list[dict[str, Any]]], HICODetScorer | VCOCOScorer],
) -> list[dict[str, Any]]:
    """Scores the data copied so many times; files are read once, for the first run."""
    runs, reading = [], watch.parts
    for factor in factors:
        watch = Stopwatch()
        watch.parts += reading
        reading = []
        some, rows = _copies(records, factor), _repeat(results, factor)
        scorer = watch.run("ground truth, image labels", partial(scorer_of, some))
        rows, _ = watch.run(
            "check results", partial(check_results, rows, scorer.vocabulary, scorer.image_ids)
        )
        scored = watch.run("score", partial(scorer.score, rows))
        runs.append(_report(title, factor, rows, watch.parts, scored.metrics))
    return runs


def _report(
    title: str, factor: int, results: HOIResults, parts: list[Part], metrics: dict[str, float]
) -> dict[str, Any]:
    """Prints one run as a table with shares; returns it for JSON."""
    total = sum(p.cpu_seconds for p in parts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_mb = peak / (1e6 if sys.platform == "darwin" else 1e3)
    print(f"{title}, data x {factor}: {len(results):,} detections")
    for part in parts:
        share = 100 * part.cpu_seconds / total
        print(f"  {part.name:32s} {part.cpu_seconds:7.2f} s CPU {part.wall_seconds:7.2f} s", end="")
        print(f"  {share:5.1f} %")
    print(f"  {'total':32s} {total:7.2f} s CPU, peak memory so far {peak_mb:.0f} MB")
    name, value = next(iter(metrics.items()))
    print(f"  {name} = {value:.4f}\n")
    return {
        "factor": factor,
        "detections": len(results),
        "parts": [asdict(p) for p in parts],
        "total_cpu_seconds": total,
        "peak_memory_mb": peak_mb,
        "metrics": metrics,
    }


def _copies(records: list[dict[str, Any]], factor: int) -> list[dict[str, Any]]:
    """The images `factor` times under new ids."""
    return [
        record | {"image_id": record["image_id"] + copy * _STRIDE}
        for copy in range(factor)
        for record in records
    ]


def _repeat(results: HOIResults, factor: int) -> HOIResults:
    parts = [
        replace(results, image_ids=results.image_ids + copy * _STRIDE) for copy in range(factor)
    ]
    return HOIResults.concatenate(parts)


def _random_records(images: int = 9658, pairs: int = 4, seed: int = 0) -> list[dict[str, Any]]:
    """Images of 640 x 480 with random boxes and classes."""
    rng, hois = np.random.default_rng(seed), hico_det_vocabulary().hois
    corners = rng.random((images, 2 * pairs, 2)) * [400, 300]
    boxes = np.concatenate([corners, corners + 40 + 200 * rng.random(corners.shape)], axis=2)
    classes = rng.integers(len(hois), size=(images, pairs))
    records = []
    for image in range(images):
        objects = hois[classes[image], 0].tolist()
        entities = [
            {"bbox": box, "category_id": c}
            for box, c in zip(boxes[image].tolist(), [0] * pairs + objects)
        ]
        rows = [
            {"human": i, "object": pairs + i, "verb": int(hois[c, 1]), "hoi": int(c)}
            for i, c in enumerate(classes[image])
        ]
        name = f"HICO_test2015_{image + 1:08d}.jpg"
        records.append({"file_name": name, "image_id": image + 1, "annotations": entities})
        records[-1]["hoi_annotations"] = rows
    return records


def _random_results(records: list[dict[str, Any]], per_pair: int = 19, seed: int = 1) -> HOIResults:
    """The annotated pairs moved about, `per_pair` times each."""
    rng, truth = np.random.default_rng(seed), HOIGroundTruth.from_dataset_dicts(records)
    rows = np.repeat(np.arange(len(truth.hoi_classes)), per_pair)
    shift = rng.normal(scale=25, size=(2, len(rows), 4))
    return HOIResults(
        image_ids=truth.image_ids[truth.pair_images[rows]],
        human_boxes=truth.human_boxes[rows] + shift[0],
        object_boxes=truth.object_boxes[rows] + shift[1],
        object_classes=truth.object_classes[rows],
        verb_classes=truth.verb_classes[rows],
        hoi_classes=truth.hoi_classes[rows],
        scores=rng.random(len(rows)),
    )
