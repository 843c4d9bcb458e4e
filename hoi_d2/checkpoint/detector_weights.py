"""Fills a detector from a weight file of any known layout."""

from __future__ import annotations

import logging
import os

from torch import nn

from hoi_d2.checkpoint.conversion import (
    CLASSIFIER,
    DetectorWeights,
    detector_weights,
    fit_classes,
)
from hoi_d2.checkpoint.strict import load_strictly
from hoi_d2.checkpoint.weight_files import WeightFile, WeightsError, read_weights

__all__ = ["WeightsError", "fill_detector", "load_detector_weights"]

logger = logging.getLogger(__name__)


def load_detector_weights(
    detector: nn.Module, path: str | os.PathLike, *, sha256: str = "", revision: str = ""
) -> None:
    """Loads a detector's weights: Facebook's, UPT's, of transformers, or our own.

    A detector of another kind (`load_weights` method) reads the file in its own way.

    Args:
        detector: a `Detr` or an entity detector.
        path: file, directory or hub id.
        sha256, revision: see `read_weights`.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: it cannot be read, or keys are missing, unexpected or of another shape.
    """
    if hasattr(detector, "load_weights"):
        detector.load_weights(path, sha256=sha256, revision=revision)
        return
    fill_detector(detector, read_weights(path, sha256=sha256, revision=revision))


def fill_detector(detector: nn.Module, file: WeightFile, *, classes: str = "") -> DetectorWeights:
    """Loads a file that was read into a `Detr`, all or nothing.

    Args:
        detector: a `Detr`, or one with its interface of `network` and `classes`.
        file: of any layout.
        classes: class space of the file's outputs, where the layout does not tell it right.

    Raises:
        WeightsError: it does not fit.
    """
    found = detector_weights(file, classes=classes)
    named = getattr(detector, "classes", None)
    rows = len(detector.state_dict()[f"{CLASSIFIER}bias"])
    weights = fit_classes(found, named and named.outputs, rows, file.name)
    # Only training uses them, and a detector that is trained on starts them at random.
    may_miss = ("dense_heads.", "network.extra_queries.")
    number = load_strictly(detector, weights, source=file.name, may_miss=may_miss)
    logger.info("loaded %d tensors from %s (layout: %s)", number, file.name, found.layout)
    return found
