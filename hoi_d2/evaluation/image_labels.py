"""HICO's image-level labels (`anno.mat`) by image id, for scoring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hoi_d2.data.datasets import hico
from hoi_d2.data.datasets.records import number_in_name


@dataclass(frozen=True, eq=False)
class ImageLabels:
    """Labels of N images.

    Args:
        image_ids: (N,) int64, the number in the file name, ascending.
        labels: (N, C) int8: 1 = positive, 0 = ambiguous, -1 = negative, -2 = unknown.
    """

    image_ids: np.ndarray
    labels: np.ndarray


def read_image_labels(path: str | Path, split: str) -> ImageLabels:
    """One split of HICO's `anno.mat`.

    Args:
        path: the file.
        split: `train` or `test`; both number their images from 1.

    Raises:
        FileNotFoundError: no such file.
        DataFormatError: it is not that file.
    """
    names, labels = hico.read_image_labels(path, split)
    image_ids = np.asarray([number_in_name(name or "") or -1 for name in names], dtype=np.int64)
    order = np.argsort(image_ids)
    return ImageLabels(image_ids[order], labels[order])


def split_of(file_names: Iterable[str]) -> str:
    """The split of HICO that file names belong to, by the first (`HICO_test2015_...`)."""
    name = next(iter(file_names), "")
    return "train" if "train2015" in Path(name).name else "test"
