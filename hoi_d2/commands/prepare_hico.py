"""Prepares HICO (image-level labels) for the registered sets hico_train and hico_test.

    hoi-d2 data prepare-hico --archive hico_20150920.tar.gz

HICO-DET's archive contains the same images and labels (and two more training images), so nothing
needs to be done if HICO-DET is already prepared.
"""

from __future__ import annotations

from tabulate import tabulate

from hoi_d2.data import trees
from hoi_d2.data.datasets.hico import (
    AMBIGUOUS,
    NEGATIVE,
    POSITIVE,
    load_hico,
    read_image_labels,
)
from hoi_d2.data.image_sizes import hico_sizes_key, store_image_sizes
from hoi_d2.data.prepare.command import argument_parser, extract_archives, report_checksum

# Of the labels of 20160224_det; tests/data/test_vocabulary.py recomputes them.
PUBLISHED = {"train": (38118, 70373, 245627, 35238), "test": (9658, 20268, 61912, 7872)}


def main(argv: list[str] | None = None) -> int:
    """Runs the command."""
    args = argument_parser(__doc__).parse_args(argv)
    extract_archives(args, args.root)
    file = trees.first_existing(args.root, trees.hico_image_labels())
    rows = []
    for part, published in PUBLISHED.items():
        names, labels = read_image_labels(file, part)
        found = [len(names), *(int((labels == v).sum()) for v in (POSITIVE, NEGATIVE, AMBIGUOUS))]
        folder = trees.first_existing(args.root, trees.hico_images(part))
        records = load_hico(file, folder, split=part)
        sizes = store_image_sizes(records, hico_sizes_key(file, part))
        print(f"{sizes}: image sizes" if sizes else f"{folder}: no images")
        images = sum("width" in r for r in records)
        rows += [[part, "images on disk", images, published[0]]]
        kinds = ("labelled images", "positive", "negative", "ambiguous")
        rows += [[part, *row] for row in zip(kinds, found, published)]
    report_checksum(file)
    print(tabulate(rows, headers=["split", "what", "here", "HICO-DET's anno.mat"], intfmt=","))
    return 0
