"""Loads COCO without V-COCO's test images, to train a detector for V-COCO.

COCO 2017's training set holds most of COCO 2014's val set, and with it nearly all of V-COCO's test
set. A detector trained on those images makes the results on V-COCO too good.
"""

from __future__ import annotations

import logging
import os

from detectron2.data.datasets import load_coco_json

from hoi_d2.data.vocabulary import vcoco_test_images

logger = logging.getLogger(__name__)


def load_coco_without_vcoco_test(
    json_file: str | os.PathLike, image_root: str | os.PathLike, *, name: str | None = None
) -> list[dict]:
    """Loads a COCO instances file without the images of V-COCO's test set.

    Args:
        json_file: COCO's `instances_*.json`.
        image_root: the folder of the images.
        name: the registered name; COCO's category ids are added to its metadata.

    Returns:
        detectron2's dataset dicts, in the file's order.
    """
    records = load_coco_json(os.fspath(json_file), os.fspath(image_root), name)
    kept = [r for r in records if r["image_id"] not in vcoco_test_images()]
    left_out = len(records) - len(kept)
    logger.info("%s: %d images of V-COCO's test set are left out", json_file, left_out)
    check_no_vcoco_test(kept, json_file)
    return kept


def check_no_vcoco_test(records: list[dict], source: str | os.PathLike) -> None:
    """Checks that no record is in V-COCO's test set, by id and by file name.

    COCO's file names end in the id in every edition (`COCO_val2014_000000000192.jpg`,
    `000000000192.jpg`), so a file with other ids is found as well.

    Raises:
        ValueError: a record is in the test set; the message names the first.
    """
    test = vcoco_test_images()
    seen = [r for r in records if r["image_id"] in test or _id_in_name(r["file_name"]) in test]
    if seen:
        raise ValueError(
            f"{os.fspath(source)}: {len(seen)} images are of V-COCO's test set, the first is "
            f"{seen[0]['file_name']}; a detector for V-COCO must not be trained on them"
        )


def _id_in_name(file_name: str) -> int | None:
    digits = os.path.splitext(os.path.basename(file_name))[0].rsplit("_", 1)[-1]
    return int(digits) if digits.isascii() and digits.isdigit() else None
