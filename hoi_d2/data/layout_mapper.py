"""Dataset dict -> model input without pixels: entities of the annotations, for layout models."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, BoxMode, Instances

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.layout_noise import Detections, LayoutNoise, without_crowd
from hoi_d2.structures import NO_OBJECT, make_hoi_targets

LONG_SIDE = 640
"""Of HICO-DET's and COCO's images, in pixels; taken where an annotation file does not say."""


class LayoutMapper:
    """Packs the annotated entities of an image as detections. No image file is read.

    Gives `detections` (`pred_boxes`, `scores`, `pred_classes`), which `AnnotatedEntityDetector`
    hands on, `height` and `width`, and in training the ground truth: `instances` and
    `hoi_instances`. A part of the training images gets the noise of a detector; the rest stays
    exact, with scores of 1.

    Args:
        is_train: whether to give ground truth.
        num_verbs: K of `gt_verbs`; only training needs it.
        noise: None = none.
        noise_share: of the training images.
        max_pairs: humans are left out, in training, until an image has about so many; 0 = all.
        person: the class of humans.
    """

    @configurable
    def __init__(
        self,
        *,
        is_train: bool,
        num_verbs: int = 0,
        noise: LayoutNoise | None = None,
        noise_share: float = 0.0,
        max_pairs: int = 0,
        person: int = 0,
    ) -> None:
        self.is_train, self.num_verbs, self.person = is_train, num_verbs, person
        self.noise, self.noise_share, self.max_pairs = noise, noise_share, max_pairs

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        if not is_train:
            return {"is_train": False}
        vocabulary, node = vocabulary_of(cfg), cfg.MODEL.RMLR.LAYOUT.NOISE
        noise = None
        if node.SHARE > 0:
            boxes, classes = entity_bank(cfg.DATASETS.TRAIN)
            noise = LayoutNoise(
                bank_boxes=boxes,
                bank_classes=classes,
                person=vocabulary.person,
                jitter=node.JITTER,
                drop=node.DROP,
                repeat=node.REPEAT,
                bystanders=tuple(node.BYSTANDERS),
            )
        return {
            "is_train": True,
            "num_verbs": len(vocabulary.verbs),
            "noise": noise,
            "noise_share": node.SHARE,
            "max_pairs": node.MAX_PAIRS,
            "person": vocabulary.person,
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Maps one dataset dict, which stays as it is."""
        ground_truth = ("annotations", "hoi_annotations", "ignore_exif")
        result = {k: v for k, v in dataset_dict.items() if k not in ground_truth}
        boxes, classes = entities_of(dataset_dict)
        size = image_size(dataset_dict, boxes)
        result["height"], result["width"] = size
        found = Detections.annotated(boxes, classes)
        if self.is_train:
            result |= self._targets(dataset_dict, found, size)
            found = self._as_found(found)
        result["detections"] = Instances(
            size,
            pred_boxes=Boxes(torch.as_tensor(found.boxes, dtype=torch.float32)),
            scores=torch.as_tensor(found.scores, dtype=torch.float32),
            pred_classes=torch.as_tensor(found.classes),
        )
        return result

    def _as_found(self, entities: Detections) -> Detections:
        # numpy's global generator is seeded for each sample by the loader
        rng = np.random.default_rng(np.random.randint(2**31, size=4))
        if self.noise is not None and rng.random() < self.noise_share:
            entities = self.noise(entities, rng)
        if self.max_pairs:
            entities = without_crowd(entities, self.max_pairs, rng, person=self.person)
        return entities

    def _targets(
        self, dataset_dict: dict[str, Any], entities: Detections, size: tuple[int, int]
    ) -> dict[str, Instances]:
        verbs_of: dict[tuple[int, int], list[int]] = {}
        for pair in dataset_dict["hoi_annotations"]:
            if pair["object"] != NO_OBJECT:
                verbs_of.setdefault((pair["human"], pair["object"]), []).append(pair["verb"])
        gt_verbs = torch.zeros(len(verbs_of), self.num_verbs)
        for row, verbs in enumerate(verbs_of.values()):
            gt_verbs[row, verbs] = 1
        targets = make_hoi_targets(
            image_size=size,
            gt_pairs=torch.tensor(list(verbs_of), dtype=torch.int64).reshape(-1, 2),
            gt_verbs=gt_verbs,
            num_entities=len(entities.classes),
        )
        instances = Instances(
            size,
            gt_boxes=Boxes(torch.as_tensor(entities.boxes, dtype=torch.float32)),
            gt_classes=torch.as_tensor(entities.classes),
        )
        return {"instances": instances, "hoi_instances": targets}


def entities_of(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4) XYXY boxes and (N,) classes of a dataset dict."""
    entities = record["annotations"]
    boxes = [
        e["bbox"]
        if e["bbox_mode"] == BoxMode.XYXY_ABS
        else BoxMode.convert(e["bbox"], e["bbox_mode"], BoxMode.XYXY_ABS)
        for e in entities
    ]
    classes = np.asarray([e["category_id"] for e in entities], dtype=np.int64)
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4), classes


def image_size(record: dict[str, Any], boxes: np.ndarray) -> tuple[int, int]:
    """(height, width) of the image; where the record lacks it, a square that holds the boxes."""
    if "height" in record:
        return record["height"], record["width"]
    width, height = (int(np.ceil(v)) for v in boxes[:, 2:].max(axis=0, initial=LONG_SIDE))
    return height, width


def entity_bank(datasets: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(E, 4) boxes and (E,) classes of all annotated entities of registered datasets."""
    found = [entities_of(record) for name in datasets for record in DatasetCatalog.get(name)]
    boxes, classes = zip(*found)
    return np.concatenate(boxes), np.concatenate(classes)
