"""Boxes from a file or from the annotations, looked up image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, BoxMode, Instances

from hoi_d2.data.class_spaces import class_map, class_space
from hoi_d2.data.datasets.detections import Detections, read_detections
from hoi_d2.data.datasets.records import file_problem
from hoi_d2.modeling.entity_detector.detector_classes import dataset_objects
from hoi_d2.utils.user_errors import UserError

GROUND_TRUTH = "ground_truth"


class MissingBoxesError(UserError, FileNotFoundError):
    """The file of detections that the config names is not on disk."""


@dataclass
class StoredBoxes:
    """Boxes in pixels of the images on disk, by file name or image id.

    Attributes:
        source: for messages.
        boxes: key -> list of (XYXY box, class of the dataset, score).
        key_of: of a model input; images are known by file name where the file tells it, since
            ids of a training and a test set may be the same.
    """

    source: str
    boxes: dict[str, list[tuple[list[float], int, float]]]
    key_of: Callable[[dict[str, Any]], str]

    def instances(self, model_input: dict[str, Any], device: torch.device) -> Instances:
        """`pred_boxes`, `scores` and `pred_classes` in the size of the input's `image`.

        In training, where the image was augmented, only its own `instances` are where they
        belong; that is what ground truth gives.

        Raises:
            KeyError: nothing is stored of this image.
            ValueError: an augmented image, and the boxes come from a file.
        """
        size = tuple(model_input["image"].shape[-2:])
        if "instances" in model_input:
            return self._of_training(model_input["instances"], size, device)
        key = self.key_of(model_input)
        if key not in self.boxes:
            raise KeyError(f"{self.source} has nothing of the image {key}")
        rows = self.boxes[key]
        boxes = torch.tensor([r[0] for r in rows], dtype=torch.float32, device=device)
        height, width = size
        original = model_input.get("height", height), model_input.get("width", width)
        scale = [width / original[1], height / original[0]] * 2
        return Instances(
            size,
            pred_boxes=Boxes(boxes.reshape(-1, 4) * boxes.new_tensor(scale)),
            scores=torch.tensor([r[2] for r in rows], dtype=torch.float32, device=device),
            pred_classes=torch.tensor([r[1] for r in rows], dtype=torch.int64, device=device),
        )

    def _of_training(
        self, annotated: Instances, size: tuple[int, int], device: torch.device
    ) -> Instances:
        if self.source != GROUND_TRUTH:
            raise ValueError(
                f"the boxes of {self.source} do not follow the augmentations of training; set "
                f"MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE to {GROUND_TRUTH!r}, or use a detector"
            )
        annotated = annotated.to(device)
        return Instances(
            size,
            pred_boxes=annotated.gt_boxes,
            scores=torch.ones(len(annotated), device=device),
            pred_classes=annotated.gt_classes,
        )


def stored_boxes(cfg: CfgNode) -> StoredBoxes:
    """The stored boxes that `MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE` names.

    Raises:
        MissingBoxesError: no such file.
        MissingDatasetError: the annotations are asked for, and are not on disk.
        DataFormatError: none of the forms that are known, or broken; names the file and each
            record.
    """
    name = cfg.MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE
    if name == GROUND_TRUTH:
        return _annotated([*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST])
    if not Path(name).is_file():
        raise MissingBoxesError(f"MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE: no file {name!r}")
    space = class_space(cfg.MODEL.ENTITY_DETECTOR.CLASSES or "coco_91")
    return _from_detections(
        name, read_detections(name, dict(enumerate(space))), dataset_objects(cfg)
    )


def _annotated(datasets: Iterable[str]) -> StoredBoxes:
    boxes = {}
    for dataset in datasets:
        for record in DatasetCatalog.get(dataset):
            boxes[record["file_name"]] = [
                (_xyxy(a), a["category_id"], 1.0)
                for a in record["annotations"]
                if not a.get("iscrowd", 0)
            ]
    return StoredBoxes(GROUND_TRUTH, boxes, lambda x: x["file_name"])


def _xyxy(annotation: dict[str, Any]) -> list[float]:
    return list(BoxMode.convert(annotation["bbox"], annotation["bbox_mode"], BoxMode.XYXY_ABS))


def _from_detections(source: str, found: Detections, objects: tuple[str, ...]) -> StoredBoxes:
    """Boxes by image id; classes that the dataset does not have are left out."""
    try:
        classes = class_map(list(found.names.values()), objects).tolist()
    except ValueError as error:
        raise file_problem(source, "categories", str(error), "each name once") from None
    class_of = dict(zip(found.names, classes))
    boxes: dict[str, list] = {image: [] for image in found.images}
    for row in found.rows:
        of_image = boxes.setdefault(row.image, [])
        if class_of[row.category_id] >= 0:
            of_image.append((list(row.box), class_of[row.category_id], row.score))
    return StoredBoxes(source, boxes, lambda model_input: str(model_input["image_id"]))
