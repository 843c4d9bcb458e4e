"""The pickles of detectron2's model zoo, read without running code that they may hold."""

from __future__ import annotations

import os
from typing import Any

import torch

from hoi_d2.checkpoint.errors import UnreadableFileError, WeightsError
from hoi_d2.utils.plain_pickle import PlainArray, read_plain_pickle


def read_zoo_pickle(path: str | os.PathLike) -> dict[str, Any]:
    """Reads a `.pkl` of detectron2's model zoo: dicts, strings, numbers and numpy arrays.

    Raises:
        WeightsError: it is damaged, or names code.
    """
    data = read_plain_pickle(os.fspath(path), error_type=UnreadableFileError)
    if not isinstance(data, dict):
        raise WeightsError(f"{path} holds a {type(data).__name__}, not a dict of weights")
    return _with_arrays(data, path)


def _with_arrays(value: Any, path: str | os.PathLike) -> Any:
    """The same content with numpy arrays."""
    if isinstance(value, dict):
        return {key: _with_arrays(item, path) for key, item in value.items()}
    if not isinstance(value, PlainArray):
        return value
    try:
        return value.numpy().copy()
    except Exception as error:  # the state of a stand-in may be anything
        raise UnreadableFileError(f"{path} is damaged: {error}") from error


def zoo_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """The content as detectron2's checkpointer reads it, with its weights as tensors.

    Raises:
        WeightsError: as `read_zoo_pickle`.
    """
    data = read_zoo_pickle(path)
    if "model" not in data:
        blobs = data.get("blobs", data)
        named = blobs.items() if isinstance(blobs, dict) else ()
        weights = {k: v for k, v in named if "_momentum" not in str(k)}
        data = {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}
    if not isinstance(data["model"], dict):
        raise WeightsError(f"{path} has no dict of weights under 'model'")
    try:
        weights = {name: torch.as_tensor(value) for name, value in data["model"].items()}
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is not a dict of weights: {error}") from error
    return data | {"model": weights}
