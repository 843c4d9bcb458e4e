"""What a predictor takes for images: files, folders, globs, PIL images, arrays, tensors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from glob import has_magic
from typing import Any

import numpy as np
import torch
from PIL import Image

from hoi_d2.data.find_images import ImageInputError, find_images, refuse_address
from hoi_d2.data.images import pil_to_rgb, read_image

ImageLike = str | os.PathLike | Image.Image | np.ndarray | torch.Tensor


def is_one_image(images: Any) -> bool:
    """Whether it is a single image: no folder, no glob, no batch, no list."""
    if isinstance(images, (str, os.PathLike)):
        return not _is_several(os.fspath(images))
    if isinstance(images, (np.ndarray, torch.Tensor)):
        return images.ndim != 4
    return images is None or isinstance(images, Image.Image) or not isinstance(images, Iterable)


def each_image(images: Any) -> Iterator[Any]:
    """The single images, in order; nothing is read before it is asked for.

    Args:
        images: an image, a folder, a glob, a batch (N, H, W, 3) or (N, 3, H, W), or any iterable
            of these.

    Raises:
        FileNotFoundError: a folder or glob without an image.
    """
    if is_one_image(images):
        yield images
    elif isinstance(images, (str, os.PathLike)):
        yield from find_images([os.fspath(images)])
    else:
        for image in images:
            yield from each_image(image)


def path_of(image: Any) -> str:
    """The file of an image; "" = it comes from none."""
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    return str(getattr(image, "filename", "") or "") if isinstance(image, Image.Image) else ""


def to_rgb(image: ImageLike) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image.

    Args:
        image: a path, a PIL image, an (H, W, 3) uint8 BGR array as OpenCV reads it, or a
            (3, H, W) RGB tensor as torchvision has it, uint8 or floats of 0..1.

    Raises:
        ImageFileError: a file is missing or no image.
        ImageInputError: an address, or an array or tensor of another kind.
    """
    if image is None:
        raise ImageInputError("no image: cv2.imread gives None for a file that it cannot read")
    if isinstance(image, Image.Image):
        return pil_to_rgb(image)
    if isinstance(image, np.ndarray):
        return _array_to_rgb(image)
    if isinstance(image, torch.Tensor):
        return _tensor_to_rgb(image)
    if not isinstance(image, (str, os.PathLike)):
        raise ImageInputError(
            f"{type(image).__name__} is no image: expected a path, a PIL image, a BGR array, an "
            "RGB tensor, or a list of these"
        )
    refuse_address(os.fspath(image))
    return read_image(image)


def _is_several(name: str) -> bool:
    return os.path.isdir(name) or (has_magic(name) and not os.path.lexists(name))


def _array_to_rgb(image: np.ndarray) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageInputError(
            f"an array must be (H, W, 3) uint8 BGR, got {image.shape} {image.dtype}"
        )
    return np.ascontiguousarray(image[:, :, ::-1])


def _tensor_to_rgb(image: torch.Tensor) -> np.ndarray:
    known = image.dtype == torch.uint8 or image.is_floating_point()
    if image.ndim != 3 or image.shape[0] != 3 or not known or 0 in image.shape:
        raise ImageInputError(
            "a tensor must be (3, H, W) RGB, uint8 or floats of 0..1, got "
            f"{tuple(image.shape)} {image.dtype}"
        )
    image = image.detach().cpu()
    if image.is_floating_point():
        low, high = image.min().item(), image.max().item()
        if not (low >= 0 and high <= 1):  # also NaN
            raise ImageInputError(
                f"a tensor of floats must be of 0..1, got {low:g}..{high:g}: divide by 255, or "
                "undo the normalisation"
            )
        image = (image.float() * 255).round().to(torch.uint8)
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
