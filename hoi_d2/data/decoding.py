"""Decodes image files as RGB bytes; an exported model carries a copy of this file.

It needs Pillow and numpy alone, so that `run_hoi.py` sees the pixels that the predictor sees.
"""

from __future__ import annotations

import os
import warnings
from typing import IO, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

ORIENTATION = 0x0112
"""The EXIF tag."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the image upright; every other value means "upright already"."""
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_HEAD_BYTES = 32


def read_rgb(file: str | os.PathLike | IO[bytes], *, apply_exif: bool = True) -> np.ndarray:
    """Decodes a file, by its name or opened, (H, W, 3) uint8 RGB.

    Raises:
        Exception: whatever Pillow raises; `reason` puts it into words.
    """
    with open_image(file) as image:
        return pil_to_rgb(image, apply_exif=apply_exif)


def open_image(file: str | os.PathLike | IO[bytes]) -> Image.Image:
    """Opens a file with Pillow, without its warnings (of a damaged EXIF block, for example).

    An image with too many pixels is still an error.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(file)


def pil_to_rgb(image: Image.Image, *, apply_exif: bool = True) -> np.ndarray:
    """Converts a Pillow image of any mode to (H, W, 3) uint8; of an animation, the first frame."""
    image.load()
    if apply_exif and (turn := TURNS.get(orientation(image))) is not None:
        image = image.transpose(turn)
    if image.mode == "F" or image.mode.startswith("I"):
        # Pillow would clip these at 255, which makes a 16-bit image white.
        grey = _to_bytes(np.asarray(image), image.mode)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none, or a damaged or unknown one.

    The pixels of an image with a damaged EXIF block are still valid, so this never raises. The
    orientation of a TIFF is part of the format; Pillow applies it when it opens the file.
    """
    if image.format == "TIFF":
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value: Any = image.getexif().get(ORIENTATION, 1)
    except Exception:  # the parsers of TIFF, XMP and of numbers each raise their own
        return 1
    return value if isinstance(value, int) and value in TURNS else 1


def reason(file: str | os.PathLike | IO[bytes], error: Exception) -> str:
    """Why `file` could not be decoded, in words that say what to do about it."""
    try:
        head = _head(file)
    except OSError as cause:
        return cause.strerror or str(cause)
    if not head:
        return "the file is empty"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return "a HEIC image: save it as JPEG (on an iPhone: Settings, Camera, Formats)"
    if head.startswith(b"\x00\x05\x16\x07"):
        return "no image, but what macOS leaves beside one"
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels: {error}"
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    return f"cut off or damaged ({error})"


def _head(file: str | os.PathLike | IO[bytes]) -> bytes:
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as content:
            return content.read(_HEAD_BYTES)
    file.seek(0)
    return file.read(_HEAD_BYTES)


def _to_bytes(values: np.ndarray, mode: str) -> np.ndarray:
    """16-bit, 32-bit or float grey values (H, W) as bytes."""
    if mode.startswith("I;16"):
        full = 65535.0
    else:  # the value of white is unknown: take the smallest usual range that holds every value
        largest = max((float(_finite(row).max(initial=0)) for row in values), default=0.0)
        usual = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
        full = next((u for u in usual if largest <= u), largest)
    result = np.empty(values.shape, np.uint8)
    for row, target in zip(values, result):  # by rows: whole copies in float64 take gigabytes
        target[:] = np.clip(np.rint(_finite(row) * (255.0 / full)), 0, 255)
    return result


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float64))
