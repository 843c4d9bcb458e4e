"""Prepares HICO-DET for the registered sets hico_det_train and hico_det_test.

    hoi-d2 data prepare-hico-det --archive hico_20160224_det.tar.gz --download
    hoi-d2 data prepare-hico-det --annotations trainval_hico.json test_hico.json

1. --archive: images, `anno.mat` and `anno_bbox.mat` from HICO-DET's archive (its URL is in
   datasets/README.md); run the command again after an interruption.
2. --annotations: annotation files in any format, which are copied. --download fetches the UPT
   format. Without either, they are converted from `anno_bbox.mat`.
3. Image sizes are stored if the annotation file lacks them.
4. The files on disk are counted and compared with the published numbers.
"""

from __future__ import annotations

from pathlib import Path

from hoi_d2.data import trees
from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.image_sizes import store_image_sizes
from hoi_d2.data.prepare.command import argument_parser, extract_archives, report_checksum
from hoi_d2.data.prepare.counts import KNOWN_SHA256, WHY_HICO_DET_DIFFERS, Found, count_table
from hoi_d2.data.prepare.files import download, place
from hoi_d2.data.prepare.hico_det import PARTS, convert_official

UPT_FILES = "https://raw.githubusercontent.com/fredzzhang/hicodet/main/instances_{part}2015.json"


def main(argv: list[str] | None = None) -> int:
    """Runs the command."""
    parser = argument_parser(__doc__)
    parser.add_argument("--annotations", nargs="+", type=Path, default=[], help="files to copy")
    parser.add_argument("--download", action="store_true", help="fetch the UPT form")
    args = parser.parse_args(argv)
    tree = args.root / trees.HICO_TREES[0]
    extract_archives(args, args.root)
    for file in args.annotations:
        report_checksum(place(file, tree / "annotations"))
    if args.download:
        for part in PARTS:
            url = UPT_FILES.format(part=part)
            name = url.rsplit("/", 1)[1]
            download(url, tree / "annotations" / name, sha256=KNOWN_SHA256.get(name))
    _make_annotations(args.root, tree)
    print(count_table({f"hico_det_{part}": _count(args.root, part) for part in PARTS}))
    print(f"\n{WHY_HICO_DET_DIFFERS}")
    return 0


def _make_annotations(root: Path, tree: Path) -> None:
    """Creates missing annotation files and stores image sizes."""
    for part in PARTS:
        file = trees.first_existing(root, trees.hico_det_annotations(part))
        if file.suffix == ".mat":
            print(f"reading {file}, which takes some minutes")
            (tree / "annotations").mkdir(parents=True, exist_ok=True)
            for written in convert_official(file, tree / "annotations"):
                print(f"{written}: made from {file.name}")
        elif file.is_file():
            folder = trees.first_existing(root, trees.hico_images(part))
            sizes = store_image_sizes(load_hico_det(file, folder), file)
            if sizes:
                print(f"{sizes}: image sizes")


def _count(root: Path, part: str) -> Found:
    """Counts images and annotations of one split; without an annotation file, 0."""
    folder = trees.first_existing(root, trees.hico_images(part))
    images = sum(1 for _ in folder.glob("*.jpg"))
    file = trees.first_existing(root, trees.hico_det_annotations(part))
    if not file.is_file():
        return Found(images, 0, 0)
    counts = Found.of(load_hico_det(file, folder, split=part))
    return Found(images, counts.annotated, counts.interactions)
