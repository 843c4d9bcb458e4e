"""The pickles of detectron2's model zoo, read without running code that they may hold."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import torch

from hoi_d2.checkpoint.errors import UnreadableFileError, WeightsError

# What arrays of weights are made of; a pickle that names anything else is refused.
_HARMLESS = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
_ARRAYS = ("_reconstruct", "scalar", "_frombuffer")


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _HARMLESS:
            return _HARMLESS[module, name]
        # numpy moved its core in version 2
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name in _ARRAYS:
            return getattr(np._core.multiarray, name)  # type: ignore[attr-defined]
        if module in ("numpy.core.numeric", "numpy._core.numeric") and name == "_frombuffer":
            return np._core.numeric._frombuffer  # type: ignore[attr-defined]
        raise pickle.UnpicklingError(f"{module}.{name}")


def read_zoo_pickle(path: str | os.PathLike) -> dict[str, Any]:
    """A `.pkl` of detectron2's model zoo: dicts, strings, numbers and numpy arrays.

    Raises:
        WeightsError: it is damaged, or names code.
    """
    try:
        with open(path, "rb") as file:
            data = _ArrayUnpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise UnreadableFileError(
            f"{path} is refused: it holds more than weights, or is damaged ({error})"
        ) from error
    except (EOFError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise UnreadableFileError(f"{path} is damaged: {error}") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{path} holds a {type(data).__name__}, not a dict of weights")
    return data


def zoo_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """What detectron2's checkpointer makes of a `.pkl`, its weights as tensors.

    Raises:
        WeightsError: as `read_zoo_pickle`.
    """
    data = read_zoo_pickle(path)
    if "model" not in data:
        weights = {k: v for k, v in data.get("blobs", data).items() if "_momentum" not in k}
        data = {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}
    weights = {name: torch.as_tensor(np.asarray(value)) for name, value in data["model"].items()}
    return data | {"model": weights}
