"""Checks hoi_d2 on a GPU: numbers against the CPU, two processes, speed and memory.

hoi-d2 benchmark gpu [--output DIR]           all sections, in less than 10 minutes
hoi-d2 benchmark gpu --device cpu --tiny      the same code on small models, without a GPU

Writes gpu.json and gpu.md after each section. Each section runs in a process of its own, so that
one that fails or hangs does not end the others. The exit code is 1 if a section failed or a number
is too far from the CPU's.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hoi_d2.benchmark.gpu.report import page
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.compat import environment_report
from hoi_d2.utils.files import write_atomically, write_json
from hoi_d2.utils.user_errors import UserError

SECTIONS = {
    "numbers": ("numbers", "numbers"),
    "processes": ("processes", "processes"),
    "training": ("speed", "training"),
    "inference": ("speed", "inference"),
    "pairs": ("speed", "pairs"),
}
"""Name -> module of this package, and its function of `(device, tiny)` that yields the rows."""


def main(argv: Sequence[str]) -> int:
    """Runs the sections; returns the exit code."""
    args = _parse(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("there is no GPU here; --device cpu --tiny runs the checks on the CPU")
    if args.worker:
        _measure(args.only[0], args.device, args.tiny, args.worker)
        return 0
    output = Path(args.output or ("output/gpu_check" if args.tiny else "docs"))
    output.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * args.minutes
    result = {"machine": machine(args.device), "sections": _earlier(output, args)}
    for number, name in enumerate(args.only):
        left = end - time.monotonic()
        share = 1.5 / (len(args.only) - number)  # what a section leaves, the next ones have
        result["sections"][name] = _run(name, args, left * min(share, 1.0))
        write_json(output / "gpu.json", result)
        write_atomically(output / "gpu.md", lambda file: file.write(page(result).encode()))
    print(page(result))
    return int(any(_failed(section) for section in result["sections"].values()))


def _earlier(output: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Sections of an earlier run on this machine, which `--only` leaves as they are."""
    file = output / "gpu.json"
    if not file.exists() or len(args.only) == len(SECTIONS):
        return {}
    earlier = json.loads(file.read_text())
    is_same = earlier["machine"].get("gpu") == machine(args.device).get("gpu")
    return earlier["sections"] if is_same else {}


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = CommandParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=["cuda", "cpu"], default="cuda")
    add("--tiny", action="store_true", help="small models and few rounds, for a trial on a CPU")
    add("--output", default="", help="folder of gpu.json and gpu.md; docs, or output/gpu_check")
    add("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION")
    add("--minutes", type=float, default=9.0, help="time for all sections")
    add("--worker", default="", help=argparse.SUPPRESS)  # measure here, write to this file
    return parser.parse_args(argv)


def _measure(name: str, device: str, tiny: bool, file: str) -> None:
    """Writes the rows of a section into a file, after each of them: the time may be over."""
    module, function = SECTIONS[name]
    package = importlib.import_module(f"hoi_d2.benchmark.gpu.{module}")
    rows = []
    for row in getattr(package, function)(device, tiny=tiny):
        rows.append(row)
        write_json(file, {"rows": rows})


def _run(name: str, args: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """A section in a process of its own: its figures, or its `error`; and its `seconds`."""
    start = time.monotonic()
    print(f"{name}: at most {seconds:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "section.json"
        command = [sys.executable, "-m", "hoi_d2", "benchmark", "gpu", "--worker", str(file)]
        command += ["--device", args.device, "--only", name, *["--tiny"] * args.tiny]
        error = _error_of(command, seconds)
        figures = json.loads(file.read_text()) if file.exists() else {"rows": []}
    figures |= {"error": error} if error else {}
    return figures | {"seconds": round(time.monotonic() - start, 1)}


def _error_of(command: list[str], seconds: float) -> str:
    """Runs a command; the last lines of its output if it failed, else nothing."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HOI_D2_TRACEBACK": "1"}
    try:
        done = subprocess.run(
            command, env=environment, timeout=seconds, text=True, stderr=subprocess.PIPE
        )
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:.0f} s"
    if done.returncode == 0:
        return ""
    sys.stderr.write(done.stderr)
    return "\n".join(done.stderr.strip().splitlines()[-3:]) or f"exit code {done.returncode}"


def _failed(section: dict[str, Any]) -> bool:
    return "error" in section or not all(row.get("ok", True) for row in section.get("rows", []))


def machine(device: str) -> dict[str, Any]:
    """What measures: names and versions."""
    result: dict[str, Any] = {
        "device": device,
        "cpu": f"{os.cpu_count()} cores, {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "environment": dict(environment_report()),
    }
    if device == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        result |= {
            "gpu": gpu.name,
            "gpus": torch.cuda.device_count(),
            "memory_gb": round(gpu.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return result
