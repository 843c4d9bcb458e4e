#!/usr/bin/env python
"""Turns an export of a labelling tool into hoi_d2's JSON for own data.

    python tools/convert_annotations.py label_studio export.json --output train.json
    python tools/convert_annotations.py cvat annotations.xml --output val.json \\
        --person worker driver --classes-from train.json

How interactions are drawn in each tool: datasets/README.md. Check the result with
tools/validate_data.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HOI_D2_SKIP_REGISTRATION", "1")  # nothing here needs torch

from hoi_d2.data.converters.cvat import convert_cvat
from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.converters.label_studio import convert_label_studio
from hoi_d2.data.datasets.hoi_json import load_hoi_json
from hoi_d2.data.datasets.records import DataFormatError, read_json

CONVERTERS = {"label_studio": convert_label_studio, "cvat": convert_cvat}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tool", choices=CONVERTERS)
    parser.add_argument("export", nargs="+", help="exported files; they become one")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--person", nargs="+", default=["person"], help="labels of persons")
    parser.add_argument("--classes-from", type=Path, help="number classes as this file does")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    try:
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
    except (DataFormatError, OSError) as error:
        print(f"convert_annotations: {error}", file=sys.stderr)
        return 1
    sizes = {key: len(value) for key, value in document.items()}
    print(f"{args.output}: " + ", ".join(f"{n} {key}" for key, n in sizes.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
