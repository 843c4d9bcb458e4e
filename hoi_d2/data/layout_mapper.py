"""Dataset dict -> model input without pixels: entities and pairs of the annotations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.structures import Boxes, BoxMode, Instances

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.structures import NO_OBJECT, make_hoi_targets

LONG_SIDE = 640
"""Of HICO-DET's and COCO's images, in pixels; taken where an annotation file does not say."""


class LayoutMapper:
    """Packs the annotated entities of an image. No image file is read.

    Gives `instances` (`gt_boxes`, `gt_classes`), which are all that the model sees, `height` and
    `width`, and in training `hoi_instances` (`gt_pairs`, `gt_verbs`).

    Args:
        is_train: whether to give the pairs.
        num_verbs: K of `gt_verbs`; only training needs it.
    """

    reads_images = False

    @configurable
    def __init__(self, *, is_train: bool, num_verbs: int = 0) -> None:
        self.is_train, self.num_verbs = is_train, num_verbs

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        return {"is_train": is_train, "num_verbs": len(vocabulary_of(cfg).verbs)}

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Maps one dataset dict, which is not changed."""
        ground_truth = ("annotations", "hoi_annotations", "ignore_exif")
        result = {k: v for k, v in dataset_dict.items() if k not in ground_truth}
        boxes, classes = _entities(dataset_dict)
        size = result["height"], result["width"] = _image_size(dataset_dict, boxes)
        result["instances"] = Instances(
            size, gt_boxes=Boxes(torch.from_numpy(boxes)), gt_classes=torch.from_numpy(classes)
        )
        if self.is_train:
            pairs, verbs = self._pairs(dataset_dict["hoi_annotations"])
            result["hoi_instances"] = make_hoi_targets(
                image_size=size, gt_pairs=pairs, gt_verbs=verbs, num_entities=len(classes)
            )
        return result

    def _pairs(self, annotations: list[dict[str, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        verbs_of: dict[tuple[int, int], list[int]] = {}
        for pair in annotations:
            if pair["object"] != NO_OBJECT:
                verbs_of.setdefault((pair["human"], pair["object"]), []).append(pair["verb"])
        verbs = np.zeros((len(verbs_of), self.num_verbs), dtype=np.float32)
        for row, found in enumerate(verbs_of.values()):
            verbs[row, found] = 1
        pairs = np.asarray(list(verbs_of), dtype=np.int64).reshape(-1, 2)
        return torch.from_numpy(pairs), torch.from_numpy(verbs)


def _entities(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Returns (N, 4) XYXY boxes and (N,) classes of a dataset dict."""
    entities = record["annotations"]
    boxes = [
        e["bbox"]
        if e["bbox_mode"] == BoxMode.XYXY_ABS
        else BoxMode.convert(e["bbox"], e["bbox_mode"], BoxMode.XYXY_ABS)
        for e in entities
    ]
    classes = np.asarray([e["category_id"] for e in entities], dtype=np.int64)
    return np.asarray(boxes, dtype=np.float32).reshape(-1, 4), classes


def _image_size(record: dict[str, Any], boxes: np.ndarray) -> tuple[int, int]:
    """(height, width) of the image; where the record lacks it, a square that holds the boxes."""
    if "height" in record:
        return record["height"], record["width"]
    width, height = (int(np.ceil(v)) for v in boxes[:, 2:].max(axis=0, initial=LONG_SIDE))
    return height, width
