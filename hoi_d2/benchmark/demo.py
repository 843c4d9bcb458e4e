"""Measures where the time of the demo goes on photographs: reading, the model, drawing, writing.

    hoi-d2 benchmark demo --input folder --threads 2 --json demo.json

Everything that `hoi-d2 demo` does with its images is done, in a temporary folder. The first image
is run once before, to warm up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hoi_d2.benchmark.infer import POST
from hoi_d2.benchmark.stopwatch import (
    CLOCK,
    CPU,
    Stopwatch,
    argument_parser,
    model_parts,
    part_table,
    shares,
)
from hoi_d2.data.find_images import find_images
from hoi_d2.demo import images as demo_images
from hoi_d2.demo.photographs import example_photographs
from hoi_d2.demo.report import DemoReport
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.inference.predictor import DEFAULT_CONFIG, HOIPredictor
from hoi_d2.utils.files import write_json
from hoi_d2.visualization import HOIImage

DECODE, DRAW, WRITE, REPORT, REST = "decode", "drawing", "writing", "results", "the rest"
NAMES = {"entity_detector": "detector", "pair_generator": "pairs", "interaction_heads": "head"}
"""Children of a model -> names of the parts; others keep theirs."""


def main(argv: Sequence[str]) -> int:
    """Prints the table; returns the exit status."""
    parser = argument_parser("demo", __doc__)
    parser.set_defaults(config_file=DEFAULT_CONFIG, rounds=1)
    parser.add_argument(
        "--input", nargs="+", default=[], metavar="PATH", help="default: the example photograph"
    )
    parser.add_argument("--num", type=int, default=200, help="images; fewer are repeated")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    found = find_images(args.input) if args.input else example_photographs()
    predictor = HOIPredictor.from_config(args.config_file, args.opts)
    with tempfile.TemporaryDirectory() as folder:
        paths = repeated(found, args.num, Path(folder, "input"))
        result = benchmark(predictor, paths, Path(folder), rounds=args.rounds)
    print(table(result))
    if args.json:
        write_json(args.json, result)
    return 0


def repeated(paths: Sequence[Path], number: int, folder: Path) -> list[Path]:
    """`number` images; those that are repeated are links, for the demo reads no path twice."""
    folder.mkdir()
    links = []
    for index in range(number):
        source = paths[index % len(paths)]
        links.append(folder / f"{index}{source.suffix}")
        links[-1].symlink_to(source.resolve())
    return links


def benchmark(
    predictor: HOIPredictor, paths: Sequence[Path], folder: Path, *, rounds: int
) -> dict[str, Any]:
    """Runs the demo on all images, `rounds` times.

    Args:
        predictor: the model.
        paths: the images.
        folder: of what the demo writes.
        rounds: how often.

    Returns:
        `parts` and `shares`: part -> median seconds of an image, or share, for `clock` and `cpu`;
        `images_per_second` on the clock.
    """
    watch = Stopwatch()
    demo_images.run_on_images(predictor, paths[:1], _made(folder / "warm-up"))
    with watch.methods(_owners(predictor.model)):
        for index in range(rounds):
            output = _made(folder / str(index))
            with watch.round(REST):
                demo_images.run_on_images(predictor, paths, output)
    seconds = {
        kind: {name: value / len(paths) for name, value in parts.items()}
        for kind, parts in watch.seconds().items()
    }
    return {
        "model": predictor.cfg.MODEL.META_ARCHITECTURE,
        "device": predictor.cfg.MODEL.DEVICE,
        "threads": torch.get_num_threads(),
        "images": len(paths),
        "rounds": rounds,
        "parts": seconds,
        "shares": {kind: shares(parts) for kind, parts in seconds.items()},
        "images_per_second": 1 / sum(seconds[CLOCK].values()),
        "cpu_seconds": sum(seconds[CPU].values()),
    }


def _owners(model: Any) -> list[tuple[Any, str, str]]:
    parts = [(owner, method, NAMES.get(name, name)) for owner, method, name in model_parts(model)]
    if hasattr(model, "interactions"):
        parts.append((model, "interactions", POST))
    return [
        *parts,
        (demo_images, "read_image", DECODE),
        (HOIPrediction, "draw", DRAW),
        (HOIImage, "save", WRITE),
        (DemoReport, "add", REPORT),
        (DemoReport, "save", REPORT),
    ]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def table(result: dict[str, Any]) -> str:
    """The figures as text; seconds are those of an image."""
    drawn = sum(result["shares"][CLOCK].get(name, 0.0) for name in (DRAW, WRITE, REPORT))
    head = (
        f"{result['model']}, {result['images']} images, {result['device']}, "
        f"{result['threads']} threads: {result['images_per_second']:.1f} images/s, drawing and "
        f"writing {drawn:.0%}"
    )
    return f"{head}\n\n{part_table('part of an image', result['parts'])}"
