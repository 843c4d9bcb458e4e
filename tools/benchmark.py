#!/usr/bin/env python
"""Measures how long something takes, with the share of each part.

    python tools/benchmark.py evaluate [--results FILE --annotations FILE] [--json FILE]
    python tools/benchmark.py {train,infer,data} --config-file F [--json FILE]

Each benchmark is a module of hoi_d2/benchmark with a command line of its own.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# name -> (module:function taking the rest of the command line, whether it needs torch)
BENCHMARKS: dict[str, tuple[str, bool]] = {
    "train": ("hoi_d2.benchmark.train:main", True),
    "infer": ("hoi_d2.benchmark.infer:main", True),
    "evaluate": ("hoi_d2.benchmark.evaluate:main", False),
    "data": ("hoi_d2.benchmark.data:main", True),
}


def main(argv: list[str]) -> int:
    """Runs the benchmark that the first argument names; returns the exit status."""
    name = argv[0] if argv else ""
    if name in ("-h", "--help"):
        print(__doc__)
        return 0
    if name not in BENCHMARKS:
        print(
            f"error: unknown benchmark {name!r}; expected one of {', '.join(BENCHMARKS)}",
            file=sys.stderr,
        )
        return 2
    target, needs_torch = BENCHMARKS[name]
    if not needs_torch:
        os.environ.setdefault("HOI_D2_SKIP_REGISTRATION", "1")
    module, function = target.split(":")
    try:
        return getattr(importlib.import_module(module), function)(argv[1:])
    except (ImportError, KeyError, OSError, ValueError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f"error: {message}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
