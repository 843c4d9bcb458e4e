"""Measures linear layers through oneDNN against torch's own, for the shapes of our models.

    hoi-d2 benchmark linear --threads 1

Both run in turn; the copies to oneDNN's layout and back count. `MODEL.ONEDNN_LINEAR` takes oneDNN
from `hoi_d2.modeling.layers.onednn.ROWS` rows on.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from tabulate import tabulate
from torch.nn import functional as F

from hoi_d2.benchmark.stopwatch import CPU, Stopwatch
from hoi_d2.modeling.layers.onednn import through_onednn
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.files import write_json

SHAPES = (
    *((1765, 768, 3072), (1765, 3072, 768)),  # ViT-B/16 at 672
    *((435, 1024, 1024), (435, 1024, 2048), (15, 2048, 1024)),  # pairs in the IRM
    *((850, 256, 2048), (850, 2048, 256)),  # cells in DETR's encoder and the IRE
    *((100, 256, 256), (50, 768, 3072)),
)
"""(rows, inputs, outputs)."""
PLAIN, ONEDNN = "torch's default", "oneDNN"


def main(argv: Sequence[str]) -> int:
    """Prints the table; returns the exit status."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="how often each layer runs")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0 = its default")
    parser.add_argument("--json", default="", help="file to write the figures to")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    result = benchmark(rounds=args.rounds)
    print(table(result))
    if args.json:
        write_json(args.json, result)
    return 0


@torch.inference_mode()
def benchmark(shapes: Sequence[tuple[int, int, int]] = SHAPES, *, rounds: int) -> dict[str, Any]:
    """Times both ways for each shape.

    Returns:
        `layers`: a list of {"shape", PLAIN: median CPU seconds, ONEDNN: the same, "difference":
        largest one of an output}.
    """
    generator = torch.Generator().manual_seed(0)
    layers = []
    for rows, inputs, outputs in shapes:
        x = torch.randn(rows, inputs, generator=generator)
        weight = torch.randn(outputs, inputs, generator=generator) / inputs**0.5
        bias = torch.randn(outputs, generator=generator)
        ways = {PLAIN: F.linear, ONEDNN: through_onednn}
        watch, found = Stopwatch(), {}
        for _ in range(rounds + 1):
            with watch.round("rest"):
                for name, linear in ways.items():
                    with watch.part(name):
                        found[name] = linear(x, weight, bias)
        del watch.rounds[0]  # warms up
        seconds = watch.seconds(statistics.median)[CPU]
        difference = float((found[PLAIN] - found[ONEDNN]).abs().max())
        layers.append({"shape": (rows, inputs, outputs), "difference": difference})
        layers[-1] |= {name: seconds[name] for name in ways}
    return {"rounds": rounds, "threads": torch.get_num_threads(), "layers": layers}


def table(result: dict[str, Any]) -> str:
    """The figures as text."""
    rows = [
        (
            "{} x {} -> {}".format(*layer["shape"]),
            *(1000 * layer[name] for name in (PLAIN, ONEDNN)),
            layer[ONEDNN] / layer[PLAIN],
            f"{layer['difference']:.0e}",
        )
        for layer in result["layers"]
    ]
    headers = ("rows x inputs -> outputs", *(f"{n}, cpu ms" for n in (PLAIN, ONEDNN)))
    head = f"{result['threads']} threads, median of {result['rounds']} rounds"
    headers = (*headers, "ratio", "difference")
    text = tabulate(rows, headers=headers, floatfmt=".2f", disable_numparse=[4])
    return f"{head}\n\n{text}"
