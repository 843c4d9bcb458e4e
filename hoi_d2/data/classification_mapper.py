"""Maps dataset dicts to model inputs for HOI recognition: a square image and its labels (DEFR)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from PIL import Image
from torchvision import transforms as TV
from torchvision.transforms import InterpolationMode

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.datasets.hico import NEGATIVE, POSITIVE, UNKNOWN
from hoi_d2.data.images import read_dataset_image
from hoi_d2.data.transforms import image_tensor
from hoi_d2.data.vocabulary import Vocabulary


class HOIClassificationMapper:
    """Reads an image, resizes it to a square, and adds its image-level labels.

    The result has `image` (3, R, R) uint8 RGB and, in training and testing, `image_labels` (C,)
    int8: 1 = positive, 0 = ambiguous, -1 = negative, -2 = unknown. The loss and the evaluator
    decide which of them are negatives. `height`, `width`, `file_name`, `image_id` are kept.

    Args:
        is_train: whether to augment.
        transform: PIL image -> square PIL image.
        vocabulary: the classes, to make labels for records with pairs instead of `image_labels`.
    """

    @configurable
    def __init__(
        self,
        *,
        is_train: bool,
        transform: Callable[[Image.Image], Image.Image],
        vocabulary: Vocabulary,
    ) -> None:
        self.is_train, self.transform, self.vocabulary = is_train, transform, vocabulary

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        """Raises ValueError if the config has a channel order other than RGB."""
        if cfg.INPUT.FORMAT != "RGB":
            raise ValueError(
                f'INPUT.FORMAT: expected "RGB", got {cfg.INPUT.FORMAT!r}; let the config build on '
                "configs/Base-HOI.yaml (_BASE_)"
            )
        return {
            "is_train": is_train,
            "transform": classification_transform(cfg, is_train),
            "vocabulary": vocabulary_of(cfg),
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Maps one dataset dict, which is not changed.

        Raises:
            ImageFileError: the image is missing, cannot be decoded, or is not the annotated one.
        """
        dropped = ("annotations", "hoi_annotations", "ignore_exif", "image_labels")
        result = {k: v for k, v in dataset_dict.items() if k not in dropped}
        image = read_dataset_image(dataset_dict)
        result["height"], result["width"] = image.shape[:2]
        square = np.asarray(self.transform(Image.fromarray(image)))
        result["image"] = image_tensor(square)
        result["image_labels"] = torch.as_tensor(image_labels_of(dataset_dict, self.vocabulary))
        return result


def classification_transform(cfg: CfgNode, is_train: bool) -> Callable[[Image.Image], Image.Image]:
    """Returns the augmentations of DEFR's release, in its order; in testing, only the resize."""
    node = cfg.INPUT
    size = node.SQUARE_SIZE
    squash = TV.Resize((size, size), interpolation=InterpolationMode.BICUBIC)
    if not is_train:
        return squash
    steps: list[Callable] = []
    if node.RANDOM_FLIP == "horizontal":
        steps.append(TV.RandomHorizontalFlip())
    steps.append(squash)
    brightness, contrast, saturation = node.COLOR_JITTER
    # Separate, as in the release: a single ColorJitter would shuffle their order.
    steps += [TV.ColorJitter(brightness=brightness), TV.ColorJitter(contrast=contrast)]
    steps.append(TV.ColorJitter(saturation=saturation))
    crop = node.RANDOM_RESIZED_CROP
    if crop.ENABLED:
        steps.append(TV.RandomResizedCrop(size, scale=tuple(crop.SCALE), ratio=tuple(crop.RATIO)))
    return TV.Compose(steps)


def image_labels_of(dataset_dict: dict[str, Any], vocabulary: Vocabulary) -> np.ndarray:
    """Returns the labels (C,) int8 of a record, made from its pairs if it has no `image_labels`.

    An HOI that is annotated is positive; another HOI of an object that is in an annotated pair is
    negative; all others are unknown.
    """
    if "image_labels" in dataset_dict:
        return np.array(dataset_dict["image_labels"], dtype=np.int8)
    labels = np.full(len(vocabulary.hois), UNKNOWN, dtype=np.int8)
    present = [p["hoi"] for p in dataset_dict["hoi_annotations"] if p["hoi"] >= 0]
    objects = np.unique(vocabulary.hois[present, 0])
    labels[np.isin(vocabulary.hois[:, 0], objects)] = NEGATIVE
    labels[present] = POSITIVE
    return labels
