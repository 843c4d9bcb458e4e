"""Measures batches of images of mixed sizes against the same images one by one.

    hoi-d2 benchmark batches --config-file RmLR/R50.yaml --input folder --batch 8 --threads 1

In turn, every image alone, whole batches with their padding, and batches as `hoi-d2 predict` and
`eval` make them on this device (`hoi_d2.modeling.batches`). Weights may be random.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from tabulate import tabulate

from hoi_d2.benchmark.stopwatch import CLOCK, CPU, Stopwatch, argument_parser, replaced
from hoi_d2.data.find_images import find_images
from hoi_d2.data.images import read_image
from hoi_d2.demo.photographs import example_photographs
from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.modeling.batches import forward_in_batches
from hoi_d2.modeling.entity_detector import interface
from hoi_d2.utils.files import write_json

ALONE, WHOLE, CHOSEN = "one by one", "whole batches", "as predict and eval do it"
Batch = list[dict[str, Any]]


def main(argv: Sequence[str]) -> int:
    """Prints the table; returns the exit status."""
    parser = argument_parser("batches", __doc__)
    parser.set_defaults(rounds=1)
    parser.add_argument(
        "--input", nargs="+", default=[], metavar="PATH", help="default: the example photograph"
    )
    parser.add_argument("--num", type=int, default=32, help="images; fewer are repeated")
    parser.add_argument("--batch", type=int, default=8, help="images of a batch")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    found = find_images(args.input) if args.input else example_photographs()
    paths = [found[index % len(found)] for index in range(args.num)]
    predictor = HOIPredictor.from_config(args.config_file, args.opts)
    inputs = [predictor.model_input(read_image(path)) for path in paths]
    result = benchmark(predictor.model, inputs, batch=args.batch, rounds=args.rounds)
    print(table(result))
    if args.json:
        write_json(args.json, result)
    return 0


@torch.inference_mode()
def benchmark(model: Any, inputs: Batch, *, batch: int, rounds: int) -> dict[str, Any]:
    """Times the three ways.

    Args:
        model: in evaluation mode; finds interactions.
        inputs: detectron2's.
        batch: images of a batch.
        rounds: how often all images run.

    Returns:
        `seconds`: for each way the median on the clock and of the CPU; `score_difference`: largest
        one of an interaction's score from that of its image alone.
    """
    batches = [inputs[start : start + batch] for start in range(0, len(inputs), batch)]
    ways = {
        ALONE: lambda: [model([x])[0] for x in inputs],
        WHOLE: lambda: _whole(model, batches),
        CHOSEN: lambda: [y for some in batches for y in forward_in_batches(model, some)],
    }
    watches = {name: Stopwatch() for name in ways}
    outputs: dict[str, list[Any]] = {}
    model(inputs[:1])  # warms up
    for _ in range(rounds):
        for name, run in ways.items():
            with watches[name].round(name):
                outputs[name] = run()
    return {
        "device": str(next(model.parameters()).device),
        "threads": torch.get_num_threads(),
        "images": len(inputs),
        "batch": batch,
        "rounds": rounds,
        "seconds": {
            name: {k: watch.seconds(statistics.median)[k][name] for k in (CLOCK, CPU)}
            for name, watch in watches.items()
        },
        "score_difference": {name: _difference(outputs[ALONE], y) for name, y in outputs.items()},
    }


def _whole(model: Any, batches: list[Batch]) -> list[Any]:
    """Also the detector takes the whole batch."""
    with replaced(interface, "worthwhile_batches", lambda x, *args: [list(range(len(x)))]):
        return [output for some in batches for output in model(some)]


def _difference(expected: list[Any], found: list[Any]) -> float:
    """Infinite where the number of interactions is another."""
    largest = 0.0
    for a, b in zip(expected, found, strict=True):
        ours, theirs = (x["hoi_instances"].scores.float().sort().values for x in (a, b))
        if len(ours) != len(theirs):
            return float("inf")
        largest = max(largest, float((ours - theirs).abs().max()) if len(ours) else 0.0)
    return largest


def table(result: dict[str, Any]) -> str:
    """The figures as text."""
    head = (
        f"{result['images']} images in batches of {result['batch']}, {result['device']}, "
        f"{result['threads']} threads, median of {result['rounds']} rounds"
    )
    base = result["seconds"][ALONE]
    rows = [
        (
            name,
            *(x for kind in (CLOCK, CPU) for x in (row[kind], row[kind] / base[kind])),
            f"{result['score_difference'][name]:.0e}",
        )
        for name, row in result["seconds"].items()
    ]
    headers = ("all images", "seconds", "ratio", "cpu seconds", "ratio", "score difference")
    return f"{head}\n\n{tabulate(rows, headers=headers, floatfmt='.3f')}"
