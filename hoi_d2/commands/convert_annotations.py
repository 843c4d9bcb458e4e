"""Turns an export of a labelling tool into hoi_d2's JSON for own data.

    hoi-d2 data convert label_studio export.json --output train.json
    hoi-d2 data convert cvat annotations.xml --output val.json \\
        --person worker driver --classes-from train.json

How interactions are drawn in each tool: datasets/README.md. Check the result with
hoi-d2 data validate.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hoi_d2.data.converters.cvat import convert_cvat
from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.converters.label_studio import convert_label_studio
from hoi_d2.data.datasets.hoi_json import load_hoi_json
from hoi_d2.data.datasets.records import read_json
from hoi_d2.utils.arguments import CommandParser

CONVERTERS = {"label_studio": convert_label_studio, "cvat": convert_cvat}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("tool", choices=CONVERTERS)
    parser.add_argument("export", nargs="+", help="exported files; they become one")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--person", nargs="+", default=["person"], help="labels of persons")
    parser.add_argument("--classes-from", type=Path, help="number classes as this file does")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    earlier = read_json(args.classes_from) if args.classes_from else None
    if earlier is not None:
        load_hoi_json(args.classes_from)  # says what is wrong with it
    builder = DocumentBuilder(persons=args.person, classes_from=earlier)
    for export in args.export:
        CONVERTERS[args.tool](export, builder)
    document = builder.document()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(document, indent=1))
    load_hoi_json(args.output)
    sizes = {key: len(value) for key, value in document.items()}
    print(f"{args.output}: " + ", ".join(f"{n} {key}" for key, n in sizes.items()))
    return 0
