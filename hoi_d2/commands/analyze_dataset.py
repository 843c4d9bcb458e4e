"""Describes a dataset: a table, figures and the numbers behind them.

    hoi-d2 data analyze hico_det_train --output output/hico_det
    hoi-d2 data analyze mine.json --output output/mine

Writes statistics.json and, each as PNG and CSV, class_frequencies, pairs_per_image, box_sizes and
verb_object_matrix.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from hoi_d2.data.dataset import FILE_FORMATS, open_dataset
from hoi_d2.data.statistics import DatasetStatistics
from hoi_d2.registration import register
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.visualization.plots.dataset import (
    plot_box_sizes,
    plot_class_frequencies,
    plot_pairs_per_image,
    plot_verb_object_matrix,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("dataset", help="a registered name, or an annotation file")
    parser.add_argument("--output", required=True, type=Path, help="folder for the figures")
    parser.add_argument("--format", default="", choices=FILE_FORMATS, help="of a file")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    args = parse_args(argv)
    register()
    dataset = open_dataset(args.dataset, file_format=args.format)
    statistics = DatasetStatistics.of(dataset.records, dataset.vocabulary)
    summary = statistics.summary(dataset.vocabulary)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "statistics.json").write_text(json.dumps(summary, indent=1))
    names, counts = statistics.class_counts(dataset.vocabulary)
    title = f"{dataset.name}: interactions of each class"
    plot_class_frequencies(args.output / "class_frequencies.png", names, counts, title=title)
    plot_pairs_per_image(args.output / "pairs_per_image.png", statistics)
    plot_box_sizes(args.output / "box_sizes.png", statistics)
    plot_verb_object_matrix(args.output / "verb_object_matrix.png", statistics, dataset.vocabulary)
    rows = [(k, f"{v:,}" if isinstance(v, int) else f"{v:,.2f}") for k, v in summary.items()]
    print(tabulate(rows, headers=[dataset.name, ""], colalign=("left", "right")))
    print(f"figures in {args.output}")
    return 0
