"""Draws the annotations of a data set.

    hoi-d2 data visualize toy_hoi_val --output output/toy --num 50 --html
    hoi-d2 data visualize hico_det_train --output output/rare --verb ride --rare --html
    hoi-d2 data visualize my.json --image-root images --output output/mine --html

Images are written to OUTPUT/images; with --html, OUTPUT/index.html shows them with filters and
opens from disk. Images that cannot be read are skipped, the first ones are named, and the exit code
is 1; hoi-d2 data validate with --image-root names all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hoi_d2.data.dataset import FILE_FORMATS, open_dataset
from hoi_d2.registration import register
from hoi_d2.utils.arguments import CommandParser
from hoi_d2.visualization.pages.browse import select_records
from hoi_d2.visualization.pages.folders import draw_dataset

_SHOWN = 20  # thousands of images are missing if only a part of a data set is on disk


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("dataset", help="a registered name, or an annotation file")
    parser.add_argument("--output", required=True, type=Path, help="folder for images and page")
    parser.add_argument("--image-root", default="", help="folder of the images of a file")
    parser.add_argument("--format", default="", choices=FILE_FORMATS, help="of a file")
    parser.add_argument("--num", type=int, help="maximum number of images, spread evenly")
    parser.add_argument("--verb", help="only images with this verb, e.g. sit_on")
    parser.add_argument("--object", help="only images with this object, e.g. bicycle")
    parser.add_argument("--rare", action="store_true", help="only images with a rare HOI class")
    parser.add_argument("--html", action="store_true", help="write index.html with filters")
    parser.add_argument(
        "--jpg", action="store_true", help="write JPEG files, a fifth of the size of PNG"
    )
    parser.add_argument(
        "--exact-boxes",
        action="store_true",
        help="draw each annotated box; by default near-identical boxes are merged",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    args = parse_args(argv)
    register()
    dataset = open_dataset(args.dataset, args.image_root, file_format=args.format)
    records = select_records(
        dataset, verb=args.verb, object_name=args.object, rare=args.rare, num=args.num
    )
    failures = draw_dataset(
        dataset,
        records,
        args.output,
        page=args.html,
        suffix=".jpg" if args.jpg else ".png",
        merge_iou=2.0 if args.exact_boxes else 0.6,
    )
    for failure in failures[:_SHOWN]:
        print(failure, file=sys.stderr)
    if len(failures) > _SHOWN:
        print(f"... and {len(failures) - _SHOWN} more images", file=sys.stderr)
    drawn = len(records) - len(failures)
    where = args.output / ("index.html" if args.html else "images")
    print(f"{drawn} of {len(dataset.records)} images drawn: {where}")
    return 1 if failures else 0
