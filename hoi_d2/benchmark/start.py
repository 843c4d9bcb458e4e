"""Measures how long commands take to start, each in a process of its own.

    hoi-d2 benchmark start --rounds 5 --json start.json

Cases take turns, so that a busy machine slows all of them down alike; CPU seconds, which other
programs change less, stand beside those on the clock.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from hoi_d2.benchmark.stopwatch import CLOCK, CPU
from hoi_d2.demo.photographs import example_photographs
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.files import write_json

BASE = "import torch, and the model"
"""The case that ratios are of: what no command that runs a model can do without."""


def cases(photograph: str, folder: str) -> dict[str, list[str]]:
    """Name -> command line of Python.

    Args:
        photograph: for the demo.
        folder: of what the demo writes.
    """
    model = "import torch; from hoi_d2 import get_model; get_model('photo')"
    return {
        "python": ["-c", ""],
        "import hoi_d2": ["-c", "import hoi_d2"],
        "hoi-d2 --help": ["-m", "hoi_d2", "--help"],
        "import torch": ["-c", "import torch"],
        "import torch, torchvision": ["-c", "import torch, torchvision"],
        BASE: ["-c", model],
        "hoi-d2 demo photo.jpg": ["-m", "hoi_d2", "demo", photograph, "--output", folder],
    }


def main(argv: Sequence[str]) -> int:
    """Prints the table; returns the exit status."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--json", default="", help="file to write the figures to")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        result = benchmark(cases(str(example_photographs()[0]), folder), rounds=args.rounds)
    print(table(result))
    if args.json:
        write_json(args.json, result)
    return 0


def benchmark(commands: Mapping[str, Sequence[str]], *, rounds: int) -> dict[str, Any]:
    """Runs every command `rounds` times, after a first time that does not count.

    Args:
        commands: name -> arguments of Python.
        rounds: how often.

    Returns:
        `rounds`, and `cases`: name -> {"clock": median seconds, "cpu": median CPU seconds}.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, arguments in commands.items():
            times[name].append(_seconds(arguments))
    return {
        "rounds": rounds,
        "cases": {
            name: dict(zip((CLOCK, CPU), map(statistics.median, zip(*measured[1:]))))
            for name, measured in times.items()
        },
    }


def _seconds(arguments: Sequence[str]) -> tuple[float, float]:
    """(on the clock, of the CPU) of a process."""
    start, before = time.perf_counter(), _cpu_of_children()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start, _cpu_of_children() - before


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(result: dict[str, Any]) -> str:
    """The figures as text."""
    base = result["cases"].get(BASE)
    rows = [
        (name, s[CLOCK], _ratio(s, base, CLOCK), s[CPU], _ratio(s, base, CPU))
        for name, s in result["cases"].items()
    ]
    headers = ("started", "seconds", "ratio", "cpu seconds", "ratio")
    head = f"median of {result['rounds']} rounds; ratios are to: {BASE}"
    return f"{head}\n\n{tabulate(rows, headers=headers, floatfmt='.2f')}"


def _ratio(seconds: Mapping[str, float], base: Mapping[str, float] | None, kind: str) -> float:
    return seconds[kind] / base[kind] if base else float("nan")
