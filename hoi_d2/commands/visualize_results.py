"""Draws ground truth and predictions side by side: hits, misses and false alarms.

    hoi-d2 data errors --dataset toy_hoi_val --results output/hoi_results.json \\
        --output output/errors --worst-first
    hoi-d2 data errors --dataset hico_det_test --results results.npz \\
        --output output/ride --hoi "ride bicycle" --train-dataset hico_det_train

Detections are matched by the data set's rule over the whole data set. Images are written to
OUTPUT/images, curves and per-class AP (PNG and CSV) to OUTPUT/figures; OUTPUT/index.html shows all
of them and opens from disk.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hoi_d2.data.dataset import FILE_FORMATS, Dataset, open_dataset
from hoi_d2.data.images import is_there
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.registration import register
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.visualization.pages.comparison import Comparison, compare
from hoi_d2.visualization.pages.folders import draw_comparison
from hoi_d2.visualization.pages.report import classes_named, draw_figures, order_images, summarize


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="a registered name, or a file")
    parser.add_argument("--image-root", default="", help="folder of the images of a file")
    parser.add_argument("--format", default="", choices=FILE_FORMATS, help="of a file")
    parser.add_argument("--results", required=True, type=Path, help="hoi_results.json or .npz")
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    parser.add_argument(
        "--hoi",
        action="append",
        default=[],
        help='only this class, e.g. "ride bicycle"; may be repeated',
    )
    parser.add_argument(
        "--worst-first", action="store_true", help="draw images with most errors first"
    )
    parser.add_argument("--num", type=int, default=100, help="images to draw (default 100)")
    parser.add_argument(
        "--score-threshold",
        type=float,
        help="minimum score of a detection; default: the score with the largest F1",
    )
    parser.add_argument(
        "--train-dataset", help="training set, to plot AP by the number of training samples"
    )
    parser.add_argument(
        "--jpg", action="store_true", help="write JPEG files, a fifth of the size of PNG"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> list[str]:
    """Draws everything; returns a message for each image that could not be drawn."""
    dataset = open_dataset(args.dataset, args.image_root, file_format=args.format)
    comparison = compare(
        read_results(args.results),
        dataset.records,
        dataset.vocabulary,
        evaluator_type=dataset.evaluator_type,
    )
    if comparison.num_unknown:
        print(f"{comparison.num_unknown} detections are in images that {dataset.name} lacks")
    threshold = args.score_threshold
    if threshold is None:
        threshold = comparison.best_threshold()
    classes = classes_named(comparison, args.hoi)
    train = open_dataset(args.train_dataset) if args.train_dataset else None
    figures, tables = draw_figures(comparison, dataset, args.output, train=train)
    images = order_images(
        comparison,
        score_threshold=threshold,
        classes=classes,
        worst_first=args.worst_first,
        num=args.num,
        there=_drawable(dataset, comparison),
    )
    summary = summarize(comparison, dataset, score_threshold=threshold, num_drawn=len(images))
    print(summary)
    return draw_comparison(
        dataset,
        comparison,
        images,
        args.output,
        score_threshold=threshold,
        classes=classes,
        suffix=".jpg" if args.jpg else ".png",
        summary=summary,
        figures=figures,
        tables=tables,
    )


def _drawable(dataset: Dataset, comparison: Comparison) -> np.ndarray | None:
    """The images on disk; None where there is none: drawing then says what is missing."""
    there = images_there(dataset, comparison)
    if not there.any():
        return None
    if not there.all():
        print(f"{(~there).sum()} of {len(there)} images are not on disk")
    return there


def images_there(dataset: Dataset, comparison: Comparison) -> np.ndarray:
    """Returns (N,) bool: the image of each compared image is on disk."""
    there = {r["image_id"] for r in dataset.records if is_there(r["file_name"])}
    return np.isin(comparison.truth.image_ids, list(there))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    args = parse_args(argv)
    register()
    failures = run(args)
    for failure in failures:
        print(failure, file=sys.stderr)
    print(args.output / "index.html")
    return 1 if failures else 0
