"""Scores of image-level recognition as a file: `.npz` with `image_id` (N,) and `scores` (N, C)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hoi_d2.evaluation.results import ResultFormatError, read_npz


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Scores of N images for C classes.

    Args:
        image_ids: (N,) int64, distinct.
        scores: (N, C).
    """

    image_ids: np.ndarray
    scores: np.ndarray


def read_image_scores(path: str | Path) -> ImageScores:
    """Reads a file of `write_image_scores`; the images come out by ascending id.

    Raises:
        FileNotFoundError: no such file.
        ResultFormatError: it is not such a file, an image occurs twice, or a score is not finite.
    """
    path = Path(path)
    arrays = read_npz(path, ("image_id", "scores"))
    if len(arrays) < 2:
        raise ResultFormatError(
            f"{path}: expected an .npz with image_id (N,) and scores (N, C); it has "
            f"{', '.join(arrays) or 'neither'}"
        )
    image_ids, scores = arrays["image_id"], arrays["scores"]
    if image_ids.ndim != 1 or image_ids.dtype.kind not in "iu" or scores.dtype.kind != "f":
        raise ResultFormatError(
            f"{path}: image_id is {image_ids.dtype} {image_ids.shape}, scores {scores.dtype}; "
            "expected integers (N,) and floats (N, C)"
        )
    if scores.ndim != 2 or len(scores) != len(image_ids):
        raise ResultFormatError(
            f"{path}: scores have shape {scores.shape}, expected ({len(image_ids)}, C)"
        )
    if len(np.unique(image_ids)) != len(image_ids):
        raise ResultFormatError(f"{path}: an image_id occurs more than once")
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        row, hoi = bad[0]
        raise ResultFormatError(
            f"{path}: image {image_ids[row]}, class {hoi}: score is {scores[row, hoi]}, "
            f"expected a finite number ({len(bad)} such entries)"
        )
    order = np.argsort(image_ids)  # as evaluators have them: equal scores keep this order
    return ImageScores(image_ids[order].astype(np.int64), scores[order])


def write_image_scores(path: str | Path, scores: ImageScores) -> None:
    """Writes an `.npz`; the file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, image_id=scores.image_ids, scores=scores.scores)
    partial.replace(path)
