"""Checks an annotation file, and its images if they are there, record by record.

    hoi-d2 data validate mine.json --image-root images
    hoi-d2 data validate --format hico_det trainval_hico.json
    hoi-d2 data validate vcoco_test.json --coco-annotations instances_val2014.json
    hoi-d2 data validate hico_20160224_det/annotations

Every wrong record is one line: file, record, field, value and what was expected. Warnings are about
all boxes of a file together. The exit code is 0 if all files are sound, else 1. `--json` prints one
JSON object instead.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from hoi_d2.data.detect_format import FORMATS, SUFFIXES, annotation_files
from hoi_d2.data.validation import Report, validate_file
from hoi_d2.utils.arguments import CommandParser


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="annotation files, or folders of them"
    )
    parser.add_argument("--format", default="", choices=FORMATS, help="default: by content")
    parser.add_argument("--image-root", help="folder of the images, to check them as well")
    parser.add_argument(
        "--headers-only", action="store_true", help="read only the headers of images"
    )
    parser.add_argument(
        "--coco-annotations", nargs="+", default=[], metavar="FILE", help="for official V-COCO"
    )
    parser.add_argument(
        "--max-problems", type=int, default=200, help="maximum number of lines to print; 0 = all"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser.parse_args(argv)


def find_files(paths: list[str]) -> list[str]:
    """Returns the given files and the annotation files in the given folders."""
    found: list[str] = []
    for path in paths:
        inside, others = annotation_files(path) if os.path.isdir(path) else ([path], [])
        for other in others:
            print(f"note: {other}: holds no annotations, left out", file=sys.stderr)
        if not inside:
            raise SystemExit(f"error: {path}: no annotation file ({', '.join(SUFFIXES)}) in it")
        found += inside
    return found


def print_report(report: Report, limit: int) -> None:
    """Prints the problems of a file and a summary."""
    shown = report.problems[: limit or None]
    for problem in shown:
        level = f"{problem.level}: " if problem.level in ("note", "warning") else ""
        print(f"{level}{problem}")
    if len(shown) < len(report.problems):
        print(f"... and {len(report.problems) - len(shown)} more (--max-problems 0 prints all)")
    wrong = sum(p.level in ("error", "flaw") for p in report.problems)
    warnings = sum(p.level == "warning" for p in report.problems)
    images = (
        "not looked at" if report.images_checked is None else f"{report.images_checked} looked at"
    )
    print(
        f"{report.file}: {report.format or 'unknown form'}, {report.images} images, "
        f"{report.entities} entities, {report.interactions} interactions "
        f"({report.no_object} without an object), image files {images}: "
        f"{f'{wrong} problems' if wrong else 'sound'}"
        f"{f', {warnings} warnings' if warnings else ''}"
    )


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)

    def progress(items: Iterator[Any], total: int) -> Iterator[Any]:
        return tqdm(items, total=total, desc="images", disable=None, file=sys.stderr)

    reports = [
        validate_file(
            path,
            file_format=args.format,
            image_root=args.image_root,
            coco_annotations=args.coco_annotations,
            decode=not args.headers_only,
            progress=progress,
        )
        for path in find_files(args.paths)
    ]
    sound = all(r.is_sound for r in reports)
    if args.json:
        print(json.dumps({"is_sound": sound, "files": [r.as_dict() for r in reports]}, indent=1))
    else:
        for report in reports:
            print_report(report, args.max_problems)
    return 0 if sound else 1
