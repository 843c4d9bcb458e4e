"""Reads images of all kinds as RGB bytes; errors name the file."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from hoi_d2.data.datasets.records import DataFormatError, Problem
from hoi_d2.data.decoding import open_image, orientation, pil_to_rgb, read_rgb, reason

__all__ = ["image_size", "pil_to_rgb", "read_dataset_image", "read_image", "read_image_bytes"]

TOY_SCHEME = "toy://"


class ImageFileError(DataFormatError, OSError):
    """An image is missing, cannot be decoded, or has another size than annotated.

    It is also an OSError, so that a training run treats it like any other unreadable file.
    """


def is_there(file_name: str | os.PathLike) -> bool:
    """Returns whether an image can be read: it is a file, or a `toy://` name."""
    name = os.fspath(file_name)
    return name.startswith(TOY_SCHEME) or os.path.isfile(name)


def image_error(file_name: str, field: str, value: object, expected: str) -> ImageFileError:
    """Makes the error for one image."""
    return ImageFileError([Problem(file_name, "", field, value, expected)])


def _what_is_there(name: str) -> str:
    if os.path.isdir(name):
        return "is a folder"
    return "is a link to nothing" if os.path.islink(name) else "does not exist"


def unreadable(name: str, field: str, error: Exception) -> ImageFileError:
    """Makes the error for a file that cannot be decoded, with the reason in words."""
    return image_error(name, field, reason(name, error), "an image that can be decoded")


def read_image(file_name: str | os.PathLike, *, apply_exif: bool = True) -> np.ndarray:
    """Reads an image as RGB.

    Grey, palette, CMYK and 16-bit images are converted; transparency is dropped.

    Args:
        file_name: an image file of any format that Pillow reads, or a `toy://` name.
        apply_exif: rotate the image by its EXIF orientation, as image viewers do. HICO, MPII and
            COCO were annotated without; their loaders set `ignore_exif` in the records.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ImageFileError: the file is missing or cannot be decoded.
    """
    name = os.fspath(file_name)
    if name.startswith(TOY_SCHEME):
        from hoi_d2.data.toy.scene import read_toy_image

        return np.ascontiguousarray(read_toy_image(name)[:, :, ::-1])  # drawn as BGR
    if not os.path.isfile(name):
        raise image_error(name, "file", _what_is_there(name), "an image")
    try:
        return read_rgb(name, apply_exif=apply_exif)
    except Exception as error:  # decoders raise many kinds of errors on a broken file
        raise unreadable(name, "content", error) from error


def read_image_bytes(content: bytes, name: str) -> np.ndarray:
    """The same of a file that is in memory.

    Args:
        content: of the file.
        name: of the file, for the error.

    Raises:
        ImageFileError: it cannot be decoded.
    """
    file = io.BytesIO(content)
    try:
        return read_rgb(file)
    except Exception as error:  # as above
        expected = "an image that can be decoded"
        raise image_error(name, "content", reason(file, error), expected) from error


def read_dataset_image(dataset_dict: dict[str, Any]) -> np.ndarray:
    """Returns the image of a dataset dict, (H, W, 3) uint8 RGB, of the size that its boxes are in.

    Raises:
        ImageFileError: the image is missing, cannot be decoded, or has another size than annotated.
    """
    name = dataset_dict["file_name"]
    image = read_image(name, apply_exif=not dataset_dict.get("ignore_exif", False))
    check_size(dataset_dict, image.shape[0], image.shape[1])
    return image


def check_size(dataset_dict: dict[str, Any], height: int, width: int) -> None:
    """Raises ImageFileError if an image has another size than its record."""
    expected = dataset_dict.get("height"), dataset_dict.get("width")
    if None in expected or expected == (height, width):
        return
    what = f"{expected[1]} x {expected[0]}, the size of the image that was annotated"
    if expected == (width, height):
        what += " (perhaps without its EXIF orientation: see ignore_exif in datasets/README.md)"
    raise image_error(dataset_dict["file_name"], "width x height", f"{width} x {height}", what)


def image_size(file_name: str | os.PathLike, *, apply_exif: bool = True) -> tuple[int, int]:
    """Reads (height, width) of an image from its header, without decoding it.

    Raises:
        ImageFileError: the file is missing or is not an image.
    """
    name = os.fspath(file_name)
    if name.startswith(TOY_SCHEME):
        height, width = read_image(name).shape[:2]
        return height, width
    if not os.path.isfile(name):
        raise image_error(name, "file", _what_is_there(name), "an image")
    try:
        with open_image(name) as image:
            width, height = image.size
            turned = apply_exif and orientation(image) >= 5
    except Exception as error:  # as above
        raise unreadable(name, "header", error) from error
    return (width, height) if turned else (height, width)
