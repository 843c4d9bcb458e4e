"""COCO's box AP of the entity detector, on any HOI data set."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator

from hoi_d2.evaluation.matching import pairwise_iou


class EntityBoxEvaluator(COCOEvaluator):
    """AP, AP50, AP75, by size and for each class, through pycocotools.

    The ground truth is made from the dataset dicts: the `json_file` of a HOI data set is not in
    COCO's form, but detectron2 would read it as if it were. Results are under the key `bbox`.

    Args:
        dataset_name: a registered data set with `thing_classes`.
        distributed: gather over ranks.
        output_dir: where detectron2 writes the detections; None = not written.
        merge_iou: entities of one class in an image that overlap this much are one. HICO-DET's
            test annotations have a new box of a person for every interaction: there 0.5 is usual
            (Zhang's hicodet). None = every annotated box counts.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        distributed: bool = True,
        output_dir: str | Path | None = None,
        merge_iou: float | None = None,
    ) -> None:
        classes = MetadataCatalog.get(dataset_name).thing_classes
        truth = coco_ground_truth(DatasetCatalog.get(dataset_name), classes, merge_iou=merge_iou)
        alias = f"{dataset_name}_entities"
        MetadataCatalog.pop(alias, None)
        # each rank reads its own file, so that ranks need no barrier and no shared disk
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "entities.json"
            path.write_text(json.dumps(truth))
            MetadataCatalog.get(alias).set(thing_classes=classes, json_file=str(path))
            super().__init__(
                alias,
                tasks=("bbox",),
                distributed=distributed,
                output_dir=None if output_dir is None else str(output_dir),
                use_fast_impl=False,  # the fast one needs detectron2's compiled part
            )


def coco_ground_truth(
    dataset_dicts: Sequence[dict[str, Any]],
    classes: Sequence[str],
    *,
    merge_iou: float | None = None,
) -> dict[str, Any]:
    """COCO's `images`, `annotations`, `categories` of the entities of dataset dicts.

    Args:
        dataset_dicts: boxes are XYXY.
        classes: names; category ids are positions.
        merge_iou: see `EntityBoxEvaluator`.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for record in dataset_dicts:
        image: dict[str, Any] = {
            name: record[name] for name in ("height", "width") if name in record
        }
        images.append({"id": record["image_id"], "file_name": record["file_name"], **image})
        entities = record.get("annotations", [])
        kept = range(len(entities)) if merge_iou is None else distinct_entities(entities, merge_iou)
        for index in kept:
            entity = entities[index]
            x0, y0, x1, y1 = entity["bbox"]
            annotations.append(
                {
                    "id": len(annotations) + 1,  # COCOeval takes 0 for "not matched"
                    "image_id": record["image_id"],
                    "category_id": entity["category_id"],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": entity.get("area", (x1 - x0) * (y1 - y0)),
                    "iscrowd": entity.get("iscrowd", 0),
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(classes)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def distinct_entities(entities: Sequence[dict[str, Any]], merge_iou: float) -> list[int]:
    """Returns the entities that overlap no earlier one of their class by `merge_iou` or more."""
    boxes = np.asarray([e["bbox"] for e in entities], dtype=np.float64).reshape(-1, 4)
    classes = np.asarray([e["category_id"] for e in entities], dtype=np.int64)
    kept: list[int] = []
    for index in range(len(entities)):
        same = [k for k in kept if classes[k] == classes[index]]
        here = np.repeat(boxes[index : index + 1], len(same), axis=0)
        if not (pairwise_iou(boxes[same], here) >= merge_iou).any():
            kept.append(index)
    return kept
