"""Prepares V-COCO for the registered sets vcoco_{train,val,trainval,test}.

    hoi-d2 data prepare-vcoco --labels v-coco/data/vcoco/*.json \\
        --coco-annotations instances_train2014.json instances_val2014.json
    hoi-d2 data prepare-vcoco --annotations instances_vcoco_*.json
    hoi-d2 data prepare-vcoco --archive train2014.zip val2014.zip --download

1. --archive: COCO 2014's images, into `coco/`. --download fetches missing archives
   (19 GB) and the annotations in the UPT format. Run the command again after an interruption.
2. --labels with --coco-annotations: the official labels, and the part of COCO's boxes that they
   refer to (`instances_vcoco_all_2014.json`); no Python-2 toolkit needed.
3. --annotations: files in any other format, which are copied.
4. The files on disk are counted and compared with the published numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hoi_d2.data import trees
from hoi_d2.data.datasets.vcoco import load_vcoco
from hoi_d2.data.prepare.command import argument_parser, extract_archives, report_checksum
from hoi_d2.data.prepare.counts import KNOWN_SHA256, Found, count_table
from hoi_d2.data.prepare.files import PreparationError, download, extract, place
from hoi_d2.data.prepare.vcoco import labelled_images, pick_annotations
from hoi_d2.data.vocabulary import vcoco_vocabulary

PARTS = {"train": "train2014", "val": "train2014", "trainval": "train2014", "test": "val2014"}
UPT_FILES = "https://raw.githubusercontent.com/fredzzhang/vcoco/main/instances_vcoco_{part}.json"
IMAGES = "http://images.cocodataset.org/zips/{folder}.zip"


def main(argv: list[str] | None = None) -> int:
    """Runs the command."""
    parser = argument_parser(__doc__)
    parser.add_argument("--labels", nargs="+", type=Path, default=[], help="official label files")
    parser.add_argument("--coco-annotations", nargs="+", type=Path, default=[])
    parser.add_argument("--annotations", nargs="+", type=Path, default=[], help="files to copy")
    parser.add_argument(
        "--download", action="store_true", help="fetch images and the annotations in the UPT format"
    )
    args = parser.parse_args(argv)
    tree = args.root / "v-coco"
    extract_archives(args, args.root / "coco")
    _take_labels(args, tree)
    for file in args.annotations:
        report_checksum(place(file, tree / "annotations"))
    if args.download:
        _download(args.root, tree)
    print(count_table({f"vcoco_{part}": _count(args.root, part) for part in PARTS}))
    return 0


def _take_labels(args: argparse.Namespace, tree: Path) -> None:
    if bool(args.labels) != bool(args.coco_annotations):
        raise PreparationError(
            "--labels and --coco-annotations must be given together: the official labels refer to "
            "COCO's boxes"
        )
    if args.labels:
        labels = [place(file, tree / "data" / "vcoco") for file in args.labels]
        target = tree / "data" / "instances_vcoco_all_2014.json"
        pick_annotations(args.coco_annotations, labelled_images(labels), target)
        print(f"{target}: COCO's boxes of the labelled images")


def _download(root: Path, tree: Path) -> None:
    for part in PARTS:
        url = UPT_FILES.format(part=part)
        name = url.rsplit("/", 1)[1]
        download(url, tree / "annotations" / name, sha256=KNOWN_SHA256.get(name))
    for folder in sorted(set(PARTS.values())):
        if not trees.first_existing(root, trees.coco_images(folder)).is_dir():
            url = IMAGES.format(folder=folder)
            extract(download(url, root / "coco" / f"{folder}.zip"), root / "coco")


def _count(root: Path, part: str) -> Found:
    """Counts one split as the UPT form does: without `point`."""
    file = trees.first_existing(root, trees.vcoco_annotations(part, root))
    if not file.is_file():
        return Found(0, 0, 0)
    folder = trees.first_existing(root, trees.coco_images(PARTS[part]))
    records = load_vcoco(file, folder, coco_annotations=trees.coco_instances(root))
    return Found.of(records, point=vcoco_vocabulary().verbs.index("point_instr"))
