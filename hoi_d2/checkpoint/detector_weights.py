"""Fills a detector from a weight file of any known layout."""

from __future__ import annotations

from typing import Any

from torch import nn

from hoi_d2.checkpoint.conversion import recognise_layout
from hoi_d2.checkpoint.weight_files import WeightFile, WeightsError, labels_beside
from hoi_d2.protocols import ConvertsWeights


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
    if not (is_foreign and isinstance(model, ConvertsWeights)):
        return data if key == "model" else {"model": weights}
    return {"model": model.convert_weights(file)}


def detector_alone(name: str, layout: str) -> WeightsError:
    """The error for a detector's file where a whole RmLR is wanted."""
    return WeightsError(
        f"{name} holds a detector alone (layout: {layout}), not an RmLR checkpoint. "
        "Name it in MODEL.ENTITY_DETECTOR.WEIGHTS; MODEL.WEIGHTS is for a trained RmLR"
    )
