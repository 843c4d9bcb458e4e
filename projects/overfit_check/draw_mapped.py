#!/usr/bin/env python
"""What a model is fed in training: mapped images with their mapped boxes, on contact sheets.

python projects/overfit_check/make_real_subset.py $HOI_D2_TEST_DATA output/real_subset
DETECTRON2_DATASETS=output/real_subset python projects/overfit_check/draw_mapped.py output/mapped
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import cv2
import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.env import seed_all_rng

from hoi_d2.config.load import load_config
from hoi_d2.data.mappers import HOIDatasetMapper
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.visualization import HOIVisualizer
from hoi_d2.visualization.scene import Interaction

SIDE, COLUMNS, ROWS = 560, 3, 4


def draw(sample: dict[str, Any], vocabulary: Vocabulary) -> np.ndarray:
    """(SIDE, SIDE, 3) RGB: the mapped image under the mapped ground truth."""
    boxes = sample["instances"].gt_boxes.tensor.double().numpy()
    classes = sample["instances"].gt_classes.tolist()
    targets = sample["hoi_instances"]
    interactions = [
        Interaction(
            human_box=boxes[human],
            verb=verb,
            object_box=None if target < 0 else boxes[target],
            object_class=-1 if target < 0 else classes[target],
        )
        for (human, target), verbs in zip(targets.gt_pairs.tolist(), targets.gt_verbs)
        for verb in verbs.nonzero().ravel().tolist()
    ]
    image = np.ascontiguousarray(sample["image"].numpy().transpose(1, 2, 0))
    drawn = HOIVisualizer(image).draw_interactions(interactions, vocabulary).get_image()
    factor = SIDE / max(drawn.shape[:2])
    drawn = cv2.resize(drawn, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    rest = [(0, SIDE - drawn.shape[0]), (0, SIDE - drawn.shape[1]), (0, 0)]
    return np.pad(drawn, rest, constant_values=255)


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--config-file", default="RmLR/R50.yaml")
    parser.add_argument("--datasets", nargs="+", default=["hico_det_train", "vcoco_trainval"])
    parser.add_argument("--num", type=int, default=100, help="images of a data set at most")
    args = parser.parse_args()
    cells = []
    for name in args.datasets:
        cfg = load_config(args.config_file, ["DATASETS.TRAIN", (name,)])
        mapper, vocabulary = (
            HOIDatasetMapper(cfg, is_train=True),
            MetadataCatalog.get(name).vocabulary,
        )
        for record in DatasetCatalog.get(name)[: args.num]:
            seed_all_rng(record["image_id"])
            cells.append(draw(mapper(record), vocabulary))
    args.output.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(cells), COLUMNS * ROWS):
        part = cells[start : start + COLUMNS * ROWS]
        part += [np.full_like(part[0], 255)] * (-len(part) % COLUMNS)
        rows = [np.concatenate(part[i : i + COLUMNS], 1) for i in range(0, len(part), COLUMNS)]
        path = args.output / f"sheet_{start // (COLUMNS * ROWS) + 1}.png"
        cv2.imwrite(str(path), np.concatenate(rows)[:, :, ::-1])
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
