"""Fills a detector from a weight file of any known layout."""

from __future__ import annotations

import logging
import os
from typing import Any

from torch import Tensor, nn

from hoi_d2.checkpoint.conversion import (
    CLASSIFIER,
    DetectorWeights,
    detector_weights,
    fit_classes,
    recognise_layout,
)
from hoi_d2.checkpoint.strict import load_strictly
from hoi_d2.checkpoint.weight_files import WeightFile, WeightsError, labels_beside, read_weights

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
    load: Any = getattr(detector, "load_weights", None)
    if load is not None:
        load(path, sha256=sha256, revision=revision)
        return
    fill_detector(detector, read_weights(path, sha256=sha256, revision=revision))


def as_own_checkpoint(model: nn.Module, name: str, data: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint that was read, with a detector's weights of another layout in our names.

    Args:
        model: that is to take it; only a `Detr` takes other layouts.
        name: of the file.
        data: what it holds; returned as it is where it is not of another layout.

    Raises:
        WeightsError: a detector alone for a model that contains one, or it lacks a class.
    """
    key = next((k for k in ("model", "model_state_dict") if isinstance(data.get(k), dict)), "")
    weights = data[key] if key else data
    file = WeightFile(name, weights, key, {}, labels_beside(name))
    layout = recognise_layout(file)
    is_foreign = layout in ("facebook", "upt", "transformers", "resnet")
    if hasattr(model, "entity_detector") and (is_foreign or layout == "detr"):
        raise detector_alone(name, layout)
    if not (is_foreign and hasattr(getattr(model, "network", None), "detr")):
        return data if key == "model" else {"model": weights}
    return {"model": _fitted(model, file, detector_weights(file))}


def detector_alone(name: str, layout: str) -> WeightsError:
    """The error for a detector's file where a whole RmLR is wanted."""
    return WeightsError(
        f"{name} holds a detector alone (layout: {layout}), not an RmLR checkpoint. "
        "Name it in MODEL.ENTITY_DETECTOR.WEIGHTS; MODEL.WEIGHTS is for a trained RmLR"
    )


def _fitted(detector: nn.Module, file: WeightFile, found: DetectorWeights) -> dict[str, Tensor]:
    named = getattr(detector, "classes", None)
    rows = len(detector.state_dict()[f"{CLASSIFIER}bias"])
    return fit_classes(found, named and named.outputs, rows, file.name)


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
    weights = _fitted(detector, file, found)
    # Only training uses them, and a detector that is trained on starts them at random.
    may_miss = ("dense_heads.", "network.extra_queries.")
    number = load_strictly(detector, weights, source=file.name, may_miss=may_miss)
    logger.info("loaded %d tensors from %s (layout: %s)", number, file.name, found.layout)
    return found
