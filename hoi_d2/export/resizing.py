"""Resizes images as detectron2, torch and Pillow do, with numpy alone.

It is copied next to `run_hoi.py`, so it imports nothing of hoi_d2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def trained_size(height: int, width: int, shorter: int, longer: int) -> tuple[int, int]:
    """Returns DETR's size: shorter side `shorter` (0: unchanged), longer side at most `longer`."""
    low, high = min(height, width), max(height, width)
    if not shorter:
        if high <= longer:
            return height, width
        shorter = low
    if high / low * shorter > longer:
        shorter = round(longer * low / high)
    other = int(shorter * high / low)
    return (shorter, other) if height <= width else (other, shorter)


def _triangle(x: np.ndarray) -> np.ndarray:
    return 1 - x


def _cubic(x: np.ndarray) -> np.ndarray:
    near = _fused(_fused(x, 1.5, -2.5) * x, x, 1)
    far = _fused(_fused(_fused(x, -0.5, 2.5), x, -4), x, 2)
    return np.where(x < 1, near, far)


def _fused(a: np.ndarray, b: Any, c: Any) -> np.ndarray:
    """Computes a * b + c with one rounding to a's precision, as torch's compiled code does."""
    return (a.astype(np.float64) * b + c).astype(a.dtype)


# Radius of the filter, in pixels of the coarser image, and its weights.
CURVES: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "bilinear": (1, _triangle),
    "bicubic": (2, _cubic),
}
_ROWS = 16  # rows at a time, to stay within the processor's cache


def stretch(image: np.ndarray, width: int, *, curve: str, precision: Any) -> np.ndarray:
    """Resizes the width of an image with antialiasing and transposes it: (width, H, 3).

    Calling it twice resizes both sides and restores the axes. OpenCV's bilinear and bicubic filters
    do not antialias when they shrink. Values are rounded where torch rounds them, because they
    become bytes, and many are halfway between two.

    Args:
        image: (H, W, 3).
        width: the new width.
        curve: a key of `CURVES`.
        precision: of all numbers: np.float32 as in torch, np.float64 as in Pillow.
    """
    taps, weights = taps_and_weights(image.shape[1], width, curve=curve, precision=precision)
    columns = np.ascontiguousarray(image.transpose(1, 0, 2))
    result = np.zeros((width, *columns.shape[1:]), dtype=precision)
    for start in range(0, width, _ROWS):
        rows = slice(start, start + _ROWS)
        for tap, weight in zip(taps[:, rows], weights[:, rows]):
            # One rounding: of the sum, not of the product.
            result[rows] += columns[tap] * weight[:, None, None]
    return result


def taps_and_weights(
    length: int, side: int, *, curve: str, precision: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the source pixels of each of `side` new pixels and their weights, (taps, side)."""
    reach, weight_at = CURVES[curve]
    step = precision(length / side)
    spread = max(step, precision(1))
    centre = ((np.arange(side) + 0.5) * np.float64(step)).astype(precision)
    first = np.ceil(centre - reach * spread - 0.5).astype(np.int64)
    taps = first + np.arange(2 * reach * int(np.ceil(spread)) + 1)[:, None]
    away = (taps.astype(precision) - centre).astype(np.float64) + 0.5
    distance = np.abs(away * np.float64(1 / spread)).astype(precision)
    weights = weight_at(distance) * ((distance < reach) & (taps >= 0) & (taps < length))
    return taps.clip(0, length - 1), (weights / weights.sum(axis=0)).astype(np.float64)
