"""Converts exports of labelling tools to hoi_d2's JSON for own data.

    hoi-d2 data convert label_studio export.json --output train.json
    hoi-d2 data convert cvat annotations.xml --output val.json \\
        --person worker driver --classes-from train.json

How interactions are drawn in each tool: datasets/README.md. Check the result with
hoi-d2 data validate. Annotations that the JSON cannot represent (key points, tags, ...) are listed,
and nothing is written (exit code 1) unless --skip-unsupported is given.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from hoi_d2.data.converters.cvat import convert_cvat
from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.converters.label_studio import convert_label_studio
from hoi_d2.data.datasets.hoi_json import load_hoi_json
from hoi_d2.data.datasets.records import read_json
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.utils.user_errors import UserError, printable

_SHOWN = 20


class SameFileError(UserError):
    """The output would overwrite the export."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("tool", choices=("label_studio", "cvat"), help="tool of the export")
    parser.add_argument("export", nargs="+", help="exported files; they are merged")
    parser.add_argument("--output", required=True, type=Path, help="file to write (.json)")
    parser.add_argument("--person", nargs="+", default=["person"], help="labels of persons")
    parser.add_argument("--classes-from", type=Path, help="use the class ids of this file")
    parser.add_argument(
        "--image-field", default="", help="Label Studio: key of a task's data with the image"
    )
    parser.add_argument(
        "--skip-unsupported",
        action="store_true",
        help="skip annotations that cannot become a box",
    )
    args = parser.parse_args(argv)
    if args.image_field and args.tool != "label_studio":
        parser.error("--image-field is for label_studio")
    return args


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 1 if something was left out that --skip-unsupported does not allow."""
    args = parse_args(argv)
    if any(args.output.resolve() == Path(export).resolve() for export in args.export):
        raise SameFileError(f"--output {args.output} is the export itself; give another name")
    earlier = read_json(args.classes_from) if args.classes_from else None
    if earlier is not None:
        load_hoi_json(args.classes_from)  # raises if the document is not valid
    builder = DocumentBuilder(persons=args.person, classes_from=earlier)
    for export in args.export:
        if args.tool == "cvat":
            convert_cvat(export, builder)
        else:
            convert_label_studio(export, builder, image_field=args.image_field)
    if not _may_leave_out(builder, args.skip_unsupported):
        return 1
    document = builder.document()
    write_checked(args.output, document)
    report(args.output, document, builder)
    return 0


def _may_leave_out(builder: DocumentBuilder, allowed: bool) -> bool:
    """Prints what is left out; returns whether the rest may be written."""
    lines = builder.left_out
    for line in lines[:_SHOWN]:
        print(f"left out: {printable(line)}", file=sys.stderr)
    if len(lines) > _SHOWN:
        print(f"... and {len(lines) - _SHOWN} more", file=sys.stderr)
    if not lines:
        return True
    end = "" if allowed else "; nothing was written. --skip-unsupported writes the rest"
    print(f"{len(lines)} left out{end}", file=sys.stderr)
    return allowed


def write_checked(output: Path, document: dict[str, Any]) -> None:
    """Writes a file of own data that loads, or leaves an earlier one as it is."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.name}.partial")
    try:
        partial.write_text(json.dumps(document, indent=1), encoding="utf-8")
        load_hoi_json(partial)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def report(output: Path, document: dict[str, Any], builder: DocumentBuilder) -> None:
    """Prints a summary, and what users may not expect."""
    for note, count in builder.notes.items():
        print(f"note: {count} {printable(note)}", file=sys.stderr)
    if not document["hoi_annotations"]:
        print(
            f"warning: {output} has no interactions, so nothing can be learned from it; "
            "datasets/README.md says how they are drawn",
            file=sys.stderr,
        )
    sizes = {key: len(value) for key, value in document.items()}
    print(f"{output}: " + ", ".join(f"{n} {key}" for key, n in sizes.items()))
