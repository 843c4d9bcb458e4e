"""Measures the time of a job and the share of each part.

    hoi-d2 benchmark infer --config-file F            a model's forward pass
    hoi-d2 benchmark train --config-file F            a training step and its loader
    hoi-d2 benchmark data --config-file F             reading training images
    hoi-d2 benchmark cached --config-file F           training from stored outputs of the detector
    hoi-d2 benchmark batches --config-file F [--input PATH ...]    images of mixed sizes
    hoi-d2 benchmark evaluate [--results FILE --annotations FILE]  scoring a result file
    hoi-d2 benchmark demo [--input PATH ...]          the demo on photographs
    hoi-d2 benchmark start                            the start of commands
    hoi-d2 benchmark linear                           linear layers with oneDNN
    hoi-d2 benchmark gpu [--device cpu --tiny]        numbers, speed and memory on a GPU

hoi-d2 benchmark infer --help (and so on) shows the options; --json FILE writes the figures.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.user_errors import UserError

BENCHMARKS = (
    "train",
    "infer",
    "evaluate",
    "data",
    "cached",
    "batches",
    "linear",
    "demo",
    "start",
    "gpu",
)
"""Each is a module of `hoi_d2.benchmark` with a `main(argv)`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark that the first argument names; returns the exit code."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or [""]
    if name in ("-h", "--help"):
        print(__doc__)
        return 0
    if name not in BENCHMARKS:
        raise UserError(f"unknown benchmark {name!r}; expected one of {', '.join(BENCHMARKS)}")
    if name != "evaluate":  # the configs name registered datasets; scoring needs no torch
        from hoi_d2.registration import register

        register()
    CommandParser.command = f"hoi-d2 benchmark {name}"
    return importlib.import_module(f"hoi_d2.benchmark.{name}").main(rest) or 0
