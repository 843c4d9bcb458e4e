"""Plots learning curves of one or several runs into one image, from their train_log.jsonl.

    hoi-d2 plot output/run1 output/run2 --output output/curves.png
    hoi-d2 plot with=output/a without=output/b --metrics "loss_*" "*/mAP_default_full"

Writes the PNG, and a CSV of the same name with the raw values.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hoi_d2.utils.arguments import CommandParser
from hoi_d2.visualization.plots.learning_curves import DEFAULT_METRICS, plot_learning_curves


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="folder or log file, or NAME=PATH")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("learning_curves.png"),
        help="file to write, default %(default)s",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=list(DEFAULT_METRICS),
        help="names or patterns of the values to plot",
    )
    parser.add_argument(
        "--window", type=int, default=20, help="number of points of the running median"
    )
    parser.add_argument("--log", action="store_true", help="logarithmic axis of values")
    return parser.parse_args(argv)


def named_runs(specs: list[str]) -> dict[str, Path]:
    """Parses `NAME=PATH` or `PATH`; the default name is the folder, with parents if two agree."""
    runs: dict[str, Path] = {}
    for spec in specs:
        name, equals, path = spec.partition("=")
        if not equals or Path(spec).exists():
            path = spec
            folder = Path(spec) if Path(spec).is_dir() else Path(spec).parent
            name = folder.resolve().name
            name = str(folder) if name in runs else name
        if name in runs:
            raise ValueError(f"two runs are called {name!r}; name them: NAME=PATH")
        runs[name] = Path(path)
    return runs


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    drawn = plot_learning_curves(
        args.output,
        named_runs(args.runs),
        metrics=args.metrics,
        window=args.window,
        log_scale=args.log,
    )
    print(f"{args.output}: {', '.join(drawn)}")
    return 0
