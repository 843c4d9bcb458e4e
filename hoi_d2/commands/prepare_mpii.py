"""Prepares MPII Human Pose for the registered sets mpii_{trainval,train,val}.

    hoi-d2 data prepare-mpii --archive mpii_human_pose_v1.tar.gz mpii_human_pose_v1_u12_2.zip \\
        --val-images val_images.txt

The activities are extracted from the official file once, because it is slow to read. Papers report
on a validation part of the training images, whose list is not in that file: give it with
--val-images, one file name per line; without it only mpii_trainval can be used.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from hoi_d2.data import trees
from hoi_d2.data.datasets.mpii import load_mpii, mpii_vocabulary
from hoi_d2.data.image_sizes import store_image_sizes
from hoi_d2.data.prepare.command import argument_parser, extract_archives
from hoi_d2.data.prepare.files import PreparationError


def main(argv: list[str] | None = None) -> int:
    """Runs the command."""
    parser = argument_parser(__doc__)
    parser.add_argument("--val-images", type=Path, help="the list of the validation images")
    args = parser.parse_args(argv)
    tree = args.root / "mpii"
    extract_archives(args, tree)
    prepared = tree / "mpii_activities.json"
    if not prepared.is_file():
        official = trees.first_existing(args.root, trees.mpii_annotations()[1:])
        if not official.is_file():
            raise PreparationError(f"no {official}: give the annotations' archive with --archive")
        print(f"reading {official}, which takes a minute")
        _write(official, prepared)
    if args.val_images:
        load_mpii(prepared, split="val", val_images=args.val_images)  # checks the names
        shutil.copyfile(args.val_images, tree / "val_images.txt")
    records = load_mpii(prepared, tree / "images")
    store_image_sizes(records, prepared)
    images = sum("width" in r for r in records)
    print(
        f"{len(records)} training images with an activity (published: 15,205), {images} of "
        f"them on disk; {len(mpii_vocabulary(prepared).verbs)} activities (published: 393)"
    )
    return 0


def _write(official: Path, prepared: Path) -> None:
    records, activities = load_mpii(official), mpii_vocabulary(official).verbs
    images = [
        {"file_name": r["file_name"], "activity": int(r["image_labels"].argmax())} for r in records
    ]
    prepared.parent.mkdir(parents=True, exist_ok=True)
    partial = prepared.with_name(f"{prepared.name}.part")
    partial.write_text(json.dumps({"activities": activities, "images": images}))
    os.replace(partial, prepared)
