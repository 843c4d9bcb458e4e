"""How far losses and metrics are apart when a batch is cut up: processes, micro-batches, both.

python -m tests.engine.equalities

RmLR on the toy world (configs/toy/rmlr.yaml, 6 iterations of 4 images, evaluated on 5), float32
on the CPU. Prints a table of the largest relative difference to one process with the whole batch.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests import toy_few
from tests.engine.processes import run_alone, run_by_torchrun

OPTIONS = "SOLVER.MAX_ITER 6 SOLVER.IMS_PER_BATCH 4 SOLVER.LOG_PERIOD 1".split()
RUNS = {  # name -> (processes, micro-batches)
    "1 process, whole batch": (1, 1),
    "1 process, 2 micro-batches": (1, 2),
    "1 process, 4 micro-batches": (1, 4),
    "2 processes": (2, 1),
    "2 processes, 2 micro-batches": (2, 2),
}


def train(directory: Path, processes: int, micro_batches: int) -> None:
    """One run in processes of its own."""
    overrides = [*OPTIONS, "SOLVER.ACCUMULATE", str(micro_batches), "OUTPUT_DIR", str(directory)]
    if processes > 1:
        run_by_torchrun(processes, toy_few.train, overrides)
    elif run_alone(toy_few.train, overrides):
        raise RuntimeError(f"the run with {micro_batches} micro-batches failed")


def read(directory: Path) -> tuple[list[dict], dict]:
    """The rows of the log and the metrics."""
    lines = (directory / "train_log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], json.loads(
        (directory / "metrics.json").read_text()
    )


def largest_difference(values: list[float], others: list[float]) -> float:
    """Relative; 0 where both are 0."""
    pairs = [(a, b) for a, b in zip(values, others, strict=True) if a != b]
    return max((abs(a - b) / max(abs(a), abs(b)) for a, b in pairs), default=0.0)


def main() -> None:
    print("| run | loss | gradient norm | metrics |\n|---|---|---|---|")
    reference = None
    for name, (processes, micro_batches) in RUNS.items():
        with tempfile.TemporaryDirectory() as directory:
            train(Path(directory), processes, micro_batches)
            rows, metrics = read(Path(directory))
        reference = reference or (rows, metrics)
        cells = [
            largest_difference([row[key] for row in rows], [row[key] for row in reference[0]])
            for key in ("total_loss", "grad_norm")
        ]
        numbers = [key for key, value in metrics.items() if isinstance(value, float | int)]
        cells.append(
            largest_difference([metrics[k] for k in numbers], [reference[1][k] for k in numbers])
        )
        print(f"| {name} | " + " | ".join(f"{cell:.1e}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
