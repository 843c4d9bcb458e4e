"""Augmentations of an image that is not read: only its size goes through them."""

from __future__ import annotations

import numpy as np
from detectron2.data import transforms as T
from fvcore.transforms.transform import Transform, TransformList

_KEEP_SIZE = (T.NoOpTransform, T.HFlipTransform, T.VFlipTransform, T.ColorTransform)


class SizeOnlyInput(T.AugInput):
    """An `AugInput` whose image has a size and no memory.

    The augmentations of detection draw from numpy's generator and look at nothing but the size, so
    they return the transforms of the real image. Colour jitter draws from torch's generator, when
    it is applied; here it is not.

    Args:
        height, width: of the image on disk.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__(_blank(height, width))
        self.image: np.ndarray

    def transform(self, tfm: Transform | TransformList) -> None:
        """Changes the size as the transform would."""
        for step in tfm.transforms if isinstance(tfm, TransformList) else [tfm]:
            self.image = _blank(*size_after(step, *self.image.shape[:2]))


def size_after(transform: Transform, height: int, width: int) -> tuple[int, int]:
    """Height and width of an image after a transform of detectron2."""
    if isinstance(transform, _KEEP_SIZE):
        return height, width
    if isinstance(transform, T.ResizeTransform):
        return transform.new_h, transform.new_w
    if isinstance(transform, T.CropTransform):
        return min(transform.h, height - transform.y0), min(transform.w, width - transform.x0)
    size = transform.apply_image(np.zeros((height, width, 3), dtype=np.uint8)).shape
    return size[0], size[1]


def _blank(height: int, width: int) -> np.ndarray:
    """(height, width, 3) zeros that take a single byte."""
    return np.broadcast_to(np.zeros((1, 1, 1), dtype=np.uint8), (height, width, 3))
