"""Weights of detectron2's own models, also the pickles of its model zoo, without running them."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils.file_io import PathManager
from torch import nn

from hoi_d2.checkpoint.weight_files import WeightsError, read_weights, sha256_of

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
        raise WeightsError(
            f"{path} is refused: it holds more than weights, or is damaged ({error})"
        ) from error
    except (EOFError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from error
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


def load_zoo_weights(detector: nn.Module, path: str | os.PathLike, *, sha256: str = "") -> None:
    """Fills a model of detectron2, strictly.

    Args:
        detector: a META_ARCHITECTURE.
        path: a file, or an address that detectron2's PathManager knows (`detectron2://...`).
        sha256: of the file; its beginning is enough.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: it cannot be read or does not fit.
    """
    local = Path(PathManager.get_local_path(os.fspath(path)))
    if not local.is_file():
        raise FileNotFoundError(f"no weight file {path}")
    if sha256 and not sha256_of(local).startswith(sha256.lower()):
        raise WeightsError(f"{path} has SHA-256 {sha256_of(local)}, not {sha256}")
    incompatible = _StrictCheckpointer(detector).load_file(local)
    reshaped = [name for name, *_ in incompatible.incorrect_shapes]
    parts = {
        "missing": [name for name in incompatible.missing_keys if name not in reshaped],
        "unexpected": incompatible.unexpected_keys,
        "of another shape": reshaped,
    }
    wrong = [f"{len(n)} {what}: {', '.join(n[:30])}" for what, n in parts.items() if n]
    if wrong:
        raise WeightsError(f"{path} does not fit {type(detector).__name__}: {'; '.join(wrong)}")


class _StrictCheckpointer(DetectionCheckpointer):
    """detectron2's name matching behind our reading."""

    def load_file(self, path: Path) -> Any:
        if path.suffix != ".pkl":
            file = read_weights(path)
            return self._load_model({"model": file.weights})
        return self._load_model(zoo_checkpoint(path))
