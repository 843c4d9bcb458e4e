"""Measures the scoring of results by its parts, and how the time grows with the data.

The data are scored again in copies (`--factors`) under new image ids.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hoi_d2.benchmark.stopwatch import CPU, Stopwatch, part_table
from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.datasets.vcoco import load_vcoco
from hoi_d2.data.vocabulary import hico_det_rare_hois, hico_det_vocabulary, vcoco_vocabulary
from hoi_d2.evaluation.ground_truth import HOIGroundTruth
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.evaluation.results_check import check_results
from hoi_d2.evaluation.scorers import HICODetScorer, VCOCOScorer
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.files import write_json

_STRIDE = 10_000_000  # added to the image ids of each copy of the data


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit status."""
    args = _parse_args(argv)
    report: dict[str, Any] = {"machine": platform.machine(), "python": platform.python_version()}
    report["hico_det"] = _hico_det(args)
    if args.vcoco_results:
        report["vcoco"] = _vcoco(args)
    if args.json:
        write_json(args.json, report)
    return 0


def _parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__)
    add = parser.add_argument
    add("--results", help="HICO-DET results; without them, random ones of the test set's size")
    add("--annotations", help="HICO-DET annotations")
    add("--image-labels", help="anno.mat")
    add("--vcoco-results", help="V-COCO results")
    add("--vcoco-annotations", help="official V-COCO labels")
    add("--coco-annotations", nargs="+", help="COCO's instances files")
    add("--factors", type=int, nargs="+", default=[1, 2, 4, 8], help="copies of the data")
    add("--json", help="file to write the figures to")
    add("--config-file", help="not used; scoring depends on no config")
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
        with watch.round("the rest"):
            with watch.part("read annotations"):
                records = load_hico_det(args.annotations)
            with watch.part("read results"):
                results = read_results(args.results)
    else:
        records = _random_records()
        results = _random_results(records)

    def scorer_of(some: list[dict[str, Any]]) -> HICODetScorer:
        labels = args.image_labels if len(some) == len(records) else None
        return HICODetScorer(some, vocabulary, rare_hois=rare, image_labels_file=labels)

    return _runs("HICO-DET", args.factors, watch, records, results, scorer_of)


def _vcoco(args: argparse.Namespace) -> list[dict[str, Any]]:
    vocabulary, watch = vcoco_vocabulary(), Stopwatch()
    with watch.round("the rest"):
        with watch.part("read annotations"):
            files = args.vcoco_annotations, args.coco_annotations
            records = load_vcoco(files[0], coco_annotations=files[1])
        with watch.part("read results"):
            results = read_results(args.vcoco_results)
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
    """Scores copies of the data; the time of reading files is part of the first run."""
    runs: list[dict[str, Any]] = []
    for factor in factors:
        watch = Stopwatch() if runs else watch
        some, rows = _copies(records, factor), _repeat(results, factor)
        with watch.round("the rest"):
            with watch.part("ground truth, image labels"):
                scorer = scorer_of(some)
            with watch.part("check results"):
                rows, _ = check_results(rows, scorer.vocabulary, scorer.image_ids)
            with watch.part("score"):
                metrics = scorer.score(rows).metrics
        runs.append(_report(title, factor, len(rows), watch, metrics))
    return runs


def _report(
    title: str, factor: int, detections: int, watch: Stopwatch, metrics: dict[str, float]
) -> dict[str, Any]:
    """Prints one run as a table with shares; returns it for JSON."""
    parts = watch.seconds(sum)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_mb = peak / (1e6 if sys.platform == "darwin" else 1e3)
    name, value = next(iter(metrics.items()))
    print(part_table(f"{title}, data x {factor}", parts))
    print(f"{detections:,} detections, peak memory so far {peak_mb:.0f} MB, {name} = {value:.4f}\n")
    return {
        "factor": factor,
        "detections": detections,
        "parts": parts,
        "total_cpu_seconds": sum(parts[CPU].values()),
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
    """Each annotated pair `per_pair` times, with randomly shifted boxes."""
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
