"""Maps dataset dicts to model inputs; `cfg.DATALOADER.MAPPER` names the mapper of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import MetadataCatalog
from detectron2.data import transforms as T
from detectron2.structures import Boxes, BoxMode, Instances

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.classification_mapper import HOIClassificationMapper
from hoi_d2.data.images import read_dataset_image
from hoi_d2.data.size_only import SizeOnlyInput
from hoi_d2.data.transforms import detection_augmentations, image_tensor
from hoi_d2.structures import NO_OBJECT, make_hoi_targets

__all__ = ["HOIClassificationMapper", "HOIDatasetMapper"]


class HOIDatasetMapper:
    """Reads and augments one image for HOI detection and makes its targets.

    In training it gives `image` (3, H, W) uint8 RGB, `instances` (`gt_boxes`, `gt_classes`) and
    `hoi_instances` (`gt_pairs`, `gt_verbs`), both on the augmented image; in testing the resized
    `image`. `height` and `width` are those of the image on disk, `file_name` and `image_id` come
    along.

    If a crop removes all of a box, the entity and its pairs are removed; the indices of the other
    pairs are updated. An image may end up without pairs.

    Args:
        is_train: whether to return ground truth.
        augmentations: the augmentations of detectron2.
        num_verbs: the number K of verbs in `gt_verbs`; needed in training only.
    """

    @configurable
    def __init__(
        self, *, is_train: bool, augmentations: Sequence[T.Augmentation], num_verbs: int = 0
    ) -> None:
        self.is_train, self.num_verbs = is_train, num_verbs
        self.augmentations = T.AugmentationList(list(augmentations))

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Raises ValueError if the config has a channel order other than RGB."""
        if cfg.INPUT.FORMAT != "RGB":
            raise ValueError(
                f'INPUT.FORMAT: expected "RGB", got {cfg.INPUT.FORMAT!r}; let the config build on '
                "configs/Base-HOI.yaml (_BASE_)"
            )
        steps = detection_augmentations(cfg, is_train)
        if not is_train:
            return {"is_train": False, "augmentations": steps}
        return {"is_train": True, "augmentations": steps, "num_verbs": _number_of_verbs(cfg)}

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Maps one dataset dict, which is not changed.

        Raises:
            ImageFileError: the image is missing, cannot be decoded, or is not the annotated one.
        """
        aug_input = T.AugInput(read_dataset_image(dataset_dict))
        result = self._mapped(dataset_dict, aug_input)
        result["image"] = image_tensor(aug_input.image)
        return result

    def without_image(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """The same from the same random numbers, without `image`: no image file is read.

        Args:
            dataset_dict: with `height` and `width`.
        """
        return self._mapped(
            dataset_dict, SizeOnlyInput(dataset_dict["height"], dataset_dict["width"])
        )

    def _mapped(self, dataset_dict: dict[str, Any], aug_input: T.AugInput) -> dict[str, Any]:
        """Augments the input in place; everything but its pixels."""
        ground_truth = ("annotations", "hoi_annotations", "ignore_exif")
        result = {k: v for k, v in dataset_dict.items() if k not in ground_truth}
        result["height"], result["width"] = aug_input.image.shape[:2]
        transforms = self.augmentations(aug_input)
        if self.is_train:
            result["instances"], result["hoi_instances"] = self._targets(
                dataset_dict, transforms, aug_input.image.shape[:2]
            )
        return result

    def _targets(
        self, dataset_dict: dict[str, Any], transforms: T.TransformList, image_size: tuple[int, int]
    ) -> tuple[Instances, Instances]:
        entities = dataset_dict["annotations"]
        pairs = dataset_dict.get("hoi_annotations", ())  # a detection dataset has none
        boxes = np.asarray([_xyxy(e) for e in entities], dtype=np.float64).reshape(-1, 4)
        height, width = image_size
        boxes = transforms.apply_box(boxes).reshape(-1, 4)
        boxes = boxes.clip(min=0, max=[width, height, width, height])
        kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        kept &= _are_wanted(entities, pairs)
        # The new row of each entity; -2 = removed, because -1 means no visible object.
        row_of = np.where(kept, np.cumsum(kept) - 1, -2)
        instances = Instances(image_size)
        instances.gt_boxes = Boxes(torch.as_tensor(boxes[kept], dtype=torch.float32))
        classes = np.asarray([e["category_id"] for e in entities], dtype=np.int64)
        instances.gt_classes = torch.as_tensor(classes[kept])
        gt_pairs, gt_verbs = self._pairs(pairs, row_of.tolist())
        targets = make_hoi_targets(
            image_size=image_size,
            gt_pairs=gt_pairs,
            gt_verbs=gt_verbs,
            num_entities=len(instances),
        )
        return instances, targets

    def _pairs(
        self, pairs: Sequence[dict[str, int]], row_of: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        verbs_of: dict[tuple[int, int], set[int]] = {}
        for pair in pairs:
            human, obj = row_of[pair["human"]], pair["object"]
            obj = NO_OBJECT if obj == NO_OBJECT else row_of[obj]
            if human >= 0 and obj >= NO_OBJECT:
                verbs_of.setdefault((human, obj), set()).add(pair["verb"])
        gt_pairs = torch.tensor(list(verbs_of), dtype=torch.int64).reshape(-1, 2)
        gt_verbs = torch.zeros(len(verbs_of), self.num_verbs)
        for row, verbs in enumerate(verbs_of.values()):
            gt_verbs[row, list(verbs)] = 1
        return gt_pairs, gt_verbs


def _number_of_verbs(cfg: CfgNode) -> int:
    """Returns the number of verbs of the config's vocabulary; 0 for a detection dataset."""
    if not cfg.MODEL.HOI.VOCABULARY and cfg.DATASETS.TRAIN:
        if MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).get("evaluator_type") == "coco":
            return 0
    return len(vocabulary_of(cfg).verbs)


def _xyxy(entity: dict[str, Any]) -> Sequence[float]:
    if entity["bbox_mode"] == BoxMode.XYXY_ABS:
        return entity["bbox"]
    return BoxMode.convert(entity["bbox"], entity["bbox_mode"], BoxMode.XYXY_ABS)


def _are_wanted(entities: Sequence[dict], pairs: Sequence[dict[str, int]]) -> np.ndarray:
    """Which entities to keep: all but crowds, which no detector finds, except those in a pair."""
    wanted = np.asarray([not e.get("iscrowd", 0) for e in entities], dtype=bool)
    for pair in pairs:
        wanted[pair["human"]] = True
        if pair["object"] != NO_OBJECT:
            wanted[pair["object"]] = True
    return wanted
