"""Converts results of other code bases to a result file for `hoi-d2 eval --results`.

    hoi-d2 convert-results predictions.json --output results.npz      PPDM, QPIC, CDN
    hoi-d2 convert-results upt/matlab --output results.npz            UPT's folder of .mat files
    hoi-d2 convert-results vcoco_results.pkl --output results.json    V-COCO's tool

The format is recognised by content (docs/evaluation.md). No code in pickles is executed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hoi_d2.evaluation.foreign.convert import convert_results
from hoi_d2.evaluation.result_files import write_results
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.user_errors import printable


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a file, or UPT's folder")
    parser.add_argument("--output", type=Path, required=True, help="ends in .json or .npz")
    parser.add_argument(
        "--dataset",
        default="",
        choices=("hico_det", "vcoco"),
        help="JSON only; default: inferred from image names",
    )
    parser.add_argument(
        "--first-verb",
        type=int,
        choices=(0, 1),
        help="JSON only; default: inferred from the category ids",
    )
    args = parser.parse_args(argv)
    if args.output.suffix not in (".json", ".npz"):
        parser.error(f"--output {args.output} does not end in .json or .npz")
    if args.output.resolve() == args.source.resolve():
        parser.error("--output is the source file")
    return args


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    found = convert_results(args.source, dataset=args.dataset, first_verb=args.first_verb)
    write_results(args.output, found.results)
    for note in found.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    images = len(set(found.results.image_ids.tolist()))
    print(f"{args.source} is {found.form}, of {found.dataset}")
    print(f"{args.output}: {len(found.results)} rows in {images} images")
    return 0
