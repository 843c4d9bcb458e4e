"""Writes the toy world to disk in HICO-DET's layout, so that the real loaders read it.

hoi-d2 data toy datasets --train 500 --val 200
DETECTRON2_DATASETS=datasets hoi-d2 train --config-file configs/RmLR/R50.yaml

It writes hico_20160224_det/{images/{train2015,test2015},annotations/{trainval_hico,test_hico}.json}
in QPIC's format: training boxes 0-based and inclusive, test boxes 1-based.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from hoi_d2.data.toy import scene as toy
from hoi_d2.data.toy.dataset import toy_record
from hoi_d2.data.vocabulary import coco_category_ids, hico_det_vocabulary
from hoi_d2.utils.arguments import CommandParser

TREE = "hico_20160224_det"
IMAGES = "number of images, default %(default)s"
PARTS = {"train": ("train2015", "trainval_hico", 0), "val": ("test2015", "test_hico", 1)}


def qpic_record(record: dict, file_name: str, offset: int) -> dict:
    """Converts a dataset dict to QPIC's format.

    Args:
        record: a record of the toy world.
        file_name: the file name of its image.
        offset: 0 for 0-based boxes, 1 for 1-based; both are inclusive integers.
    """
    entities = []
    for entity in record["annotations"]:
        x0, y0, x1, y1 = (round(v) for v in entity["bbox"])
        box = [x0 + offset, y0 + offset, max(x1 - 1, x0) + offset, max(y1 - 1, y0) + offset]
        entities.append({"bbox": box, "category_id": coco_category_ids()[entity["category_id"]]})
    pairs = [
        {
            "subject_id": pair["human"],
            "object_id": pair["object"],
            "category_id": pair["verb"] + 1,
            "hoi_category_id": pair["hoi"] + 1,
        }
        for pair in record["hoi_annotations"]
    ]
    found = {"file_name": file_name, "annotations": entities, "hoi_annotation": pairs}
    return found if offset else {"img_id": record["image_id"], **found}


def write_split(root: Path, split: str, count: int) -> int:
    """Writes the first `count` images of a split; returns how many have pairs."""
    folder, json_name, offset = PARTS[split]
    images = root / TREE / "images" / folder
    annotations = root / TREE / "annotations"
    images.mkdir(parents=True, exist_ok=True)
    annotations.mkdir(parents=True, exist_ok=True)
    records = []
    for index in tqdm(range(count), desc=split, unit="image"):
        record = toy_record(split, index)
        file_name = f"HICO_{folder}_{record['image_id']:08d}.png"
        cv2.imwrite(str(images / file_name), toy.read_toy_image(record["file_name"]))
        if record["hoi_annotations"]:  # as in HICO-DET's files: images without pairs are left out
            records.append(qpic_record(record, file_name, offset))
    (annotations / f"{json_name}.json").write_text(json.dumps(records))
    return len(records)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = CommandParser(description=__doc__)
    parser.add_argument("root", type=Path, help="datasets root, the value of DETECTRON2_DATASETS")
    parser.add_argument("--train", type=int, default=toy.SPLITS["train"][1], help=IMAGES)
    parser.add_argument("--val", type=int, default=toy.SPLITS["val"][1], help=IMAGES)
    args = parser.parse_args(argv)
    for split in PARTS:
        with_pairs = write_split(args.root, split, getattr(args, split))
        print(f"{split}: {getattr(args, split)} images, {with_pairs} of them with pairs")
    vocabulary = hico_det_vocabulary()
    corre = np.zeros((len(vocabulary.verbs), len(vocabulary.objects)))
    corre[vocabulary.hois[:, 1], vocabulary.hois[:, 0]] = 1
    np.save(args.root / TREE / "annotations" / "corre_hico.npy", corre)
    return 0
