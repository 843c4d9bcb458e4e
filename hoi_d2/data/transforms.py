"""DETR's augmentations of detection training, which UPT and RmLR share.

Images are resized by Pillow's bilinear filter, as in detectron2 and DETR. It antialiases when it
shrinks; the defaults of OpenCV and torch do not, and change a detector's scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from fvcore.transforms.transform import NoOpTransform, Transform
from torchvision.transforms import ColorJitter


class RandomColorJitter(T.Augmentation):
    """Scales brightness, contrast and saturation by factors in [1 - x, 1 + x], in random order.

    Args:
        brightness, contrast, saturation: x of each; UPT uses 0.4 for all three.
    """

    def __init__(self, brightness: float, contrast: float, saturation: float) -> None:
        super().__init__()
        self.jitter = ColorJitter(brightness, contrast, saturation)

    def get_transform(self, image: np.ndarray) -> Transform:
        """Returns the transform of one image; boxes do not change."""
        return T.PILColorTransform(self.jitter)


class DetrResize(T.ResizeShortestEdge):
    """Resizes to DETR's output size, by Pillow's bilinear filter.

    DETR rounds the longer side down, while detectron2 rounds it to the nearest pixel: an image of
    375 x 500 becomes 800 x 1066, not 800 x 1067.
    """

    def get_transform(self, image: np.ndarray) -> Transform:
        """Returns the resize of one image; size 0 keeps its size if `max_size` allows that."""
        height, width = image.shape[:2]
        if self.is_range:
            size = np.random.randint(self.short_edge_length[0], self.short_edge_length[1] + 1)
        else:
            size = np.random.choice(self.short_edge_length)
        if size == 0:
            if max(height, width) <= self.max_size:
                return NoOpTransform()
            size = min(height, width)
        new = detr_size(height, width, int(size), self.max_size)
        return T.ResizeTransform(height, width, *new, self.interp)


def detr_size(height: int, width: int, size: int, max_size: int) -> tuple[int, int]:
    """New height and width: the shorter side becomes `size`, the longer at most `max_size`.

    The rule of DETR's published transforms (Carion et al., 2020).
    """
    short, long = min(height, width), max(height, width)
    if long / short * size > max_size:
        size = round(max_size * short / long)
        if size == 0:  # thinner than a pixel
            return (1, max_size) if height <= width else (max_size, 1)
    other = int(size * long / short)
    return (size, other) if height <= width else (other, size)


class MaybeCrop(T.Augmentation):
    """Resizes to a small size and crops a random window, with some probability.

    It is DETR's crop augmentation. The ordinary resize follows in either case.

    Args:
        probability: the probability of a crop.
        sizes: shorter sides to choose from before the crop; empty = the image's own size.
        crop_type: detectron2's crop type: `absolute_range`, `relative_range`, ...
        crop_size: the size for that type; DETR uses [384, 600].
    """

    def __init__(
        self,
        probability: float,
        sizes: Sequence[int],
        crop_type: str,
        crop_size: Sequence[float],
    ) -> None:
        super().__init__()
        steps: list[T.Augmentation] = [T.RandomCrop(crop_type, list(crop_size))]
        if sizes:
            steps.insert(0, DetrResize(list(sizes), sample_style="choice"))
        self.probability, self.steps = probability, T.AugmentationList(steps)

    def __call__(self, aug_input: T.AugInput) -> Transform:
        """Changes the image in `aug_input` and returns the transform."""
        if np.random.uniform() < self.probability:
            return self.steps(aug_input)
        return NoOpTransform()


def image_tensor(image: np.ndarray) -> torch.Tensor:
    """Converts (H, W, 3) pixels to a (3, H, W) tensor of its own memory.

    A copy in any case: numpy calls a mirrored image of one pixel contiguous, and torch refuses its
    negative strides.
    """
    return torch.from_numpy(image.transpose(2, 0, 1).copy(order="C"))


def detection_augmentations(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """Returns the augmentations of `cfg.INPUT`, in order.

    Raises:
        ValueError: a key has an unknown value.
    """
    node = cfg.INPUT
    if not is_train:
        return [DetrResize(node.MIN_SIZE_TEST, node.MAX_SIZE_TEST, "choice")]
    steps: list[T.Augmentation] = []
    if any(node.COLOR_JITTER):
        steps.append(RandomColorJitter(*node.COLOR_JITTER))
    if node.RANDOM_FLIP == "horizontal":
        steps.append(T.RandomFlip())
    elif node.RANDOM_FLIP != "none":
        raise ValueError(
            f'INPUT.RANDOM_FLIP: expected "horizontal" or "none", got {node.RANDOM_FLIP!r}'
        )
    if node.CROP.ENABLED:
        crop = node.CROP
        steps.append(MaybeCrop(crop.PROBABILITY, crop.RESIZE_BEFORE, crop.TYPE, crop.SIZE))
    sampling = node.MIN_SIZE_TRAIN_SAMPLING
    steps.append(DetrResize(node.MIN_SIZE_TRAIN, node.MAX_SIZE_TRAIN, sampling))
    return steps


def augmentation_settings(cfg: CfgNode) -> str:
    """Every config value that an augmented training image depends on, as text."""
    node = cfg.INPUT
    names = ("FORMAT", "COLOR_JITTER", "RANDOM_FLIP", "MIN_SIZE_TRAIN", "MAX_SIZE_TRAIN")
    values = {name: node[name] for name in (*names, "MIN_SIZE_TRAIN_SAMPLING")}
    values |= {f"CROP.{name}": value for name, value in sorted(node.CROP.items())}
    lines = [f"INPUT.{name}: {value}" for name, value in values.items()]
    return "\n".join([*lines, f"DATALOADER.MAPPER: {cfg.DATALOADER.MAPPER}"])
