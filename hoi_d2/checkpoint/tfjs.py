"""Reads convolutions from a graph model of TensorFlow.js: a JSON file and its binary files."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hoi_d2.checkpoint.errors import MissingFileError, WeightsError

_TYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "bool": "?"}
_PASS_THROUGH = ("Transpose", "Identity")
_ADDITIONS = ("Add", "AddV2", "BiasAdd")


def read_convolutions(path: str | os.PathLike) -> list[tuple[Tensor, Tensor]]:
    """Weight (out, in, h, w) and bias (out,) of each convolution, in the order of their names.

    Args:
        path: the JSON file; the files that its `weightsManifest` names are next to it.

    Raises:
        FileNotFoundError: the JSON file is not there.
        WeightsError: it is no graph model or is damaged, a binary file is not there or has the
            wrong size, or a tensor is missing.
    """
    path = Path(path)
    try:
        return _convolutions(path)
    except (WeightsError, FileNotFoundError):
        raise
    except Exception as error:  # every member may be missing, or of another type
        raise WeightsError(
            f"{path} is damaged: a node or weight is not as TensorFlow.js writes it ({error!r})"
        ) from error


def _convolutions(path: Path) -> list[tuple[Tensor, Tensor]]:
    model = read_graph_model(path)
    tensors = _read_tensors(path, model["weightsManifest"])
    nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
    biases = _biases(nodes, tensors)
    found = []
    for name in sorted((n for n in nodes if nodes[n]["op"] == "Conv2D"), key=_number):
        kernel = _source(nodes[name]["input"][1], nodes)
        for missing in [x for x in (kernel, biases.get(name)) if x not in tensors]:
            what = f"tensor {missing!r}" if missing else "bias"
            raise WeightsError(f"{path}: the {what} of {name} is missing from weightsManifest")
        weight = torch.from_numpy(tensors[kernel].transpose(3, 2, 0, 1).copy())
        bias = torch.from_numpy(tensors[biases[name]].copy())
        if bias.shape != weight.shape[:1]:
            raise WeightsError(
                f"{path}: {name} has {len(weight)} outputs and a bias of shape {tuple(bias.shape)}"
            )
        found.append((weight, bias))
    return found


def read_graph_model(path: Path) -> dict[str, Any]:
    """The JSON file of a graph model.

    Raises:
        FileNotFoundError: it is not there.
        WeightsError: it is something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weight file {path}")
    try:
        model = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not JSON: {error}") from error
    if not (
        isinstance(model, dict)
        and isinstance(model.get("weightsManifest"), list)
        and isinstance(model.get("modelTopology"), dict)
        and isinstance(model["modelTopology"].get("node"), list)
    ):
        raise WeightsError(
            f"{path} is not a graph model of TensorFlow.js: it needs `modelTopology.node` and "
            "`weightsManifest`"
        )
    return model


def binary_files(path: Path, manifest: list[dict[str, Any]]) -> list[Path]:
    """The binary files of a graph model, next to its JSON file `path`.

    Raises:
        MissingFileError: one is not there.
    """
    files = [path.parent / Path(name).name for group in manifest for name in group["paths"]]
    for file in files:
        if not file.is_file():
            raise MissingFileError(f"{path} needs {file.name} next to it: file not found")
    return files


def _read_tensors(path: Path, manifest: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for group in manifest:
        files = binary_files(path, [group])
        data, start = b"".join(file.read_bytes() for file in files), 0
        layout = [(w["name"], _shape_of(path, w), _type_of(path, w)) for w in group["weights"]]
        size = sum(math.prod(shape) * kind.itemsize for _, shape, kind in layout)
        if size != len(data):
            names = ", ".join(file.name for file in files)
            raise WeightsError(
                f"{names}: expected {size} bytes as {path} describes them, got {len(data)}. The "
                "file is truncated or belongs to another model; download both again"
            )
        for name, shape, kind in layout:
            count = math.prod(shape)
            tensors[name] = np.frombuffer(data, kind, count, start).reshape(shape)
            start += count * kind.itemsize
    return tensors


def _shape_of(path: Path, weight: dict[str, Any]) -> list[int]:
    """The shape; a list or text in it would be repeated instead of multiplied."""
    shape = weight["shape"]
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise WeightsError(f"{path}: tensor {weight['name']!r} has the shape {shape!r:.60}")
    return shape


def _type_of(path: Path, weight: dict[str, Any]) -> np.dtype:
    name = weight.get("quantization", {}).get("dtype", weight["dtype"])
    if name not in _TYPES:
        raise WeightsError(
            f"{path}: tensor {weight['name']!r} has type {name}; {', '.join(_TYPES)} can be read"
        )
    return np.dtype(_TYPES[name])


def _biases(nodes: dict[str, Any], tensors: dict[str, np.ndarray]) -> dict[str, str]:
    """Convolution -> tensor that is added to it."""
    found = {}
    for node in nodes.values():
        if node["op"] in _ADDITIONS:
            first, second = (_source(name, nodes) for name in node["input"])
            if second not in nodes or nodes[second]["op"] == "Const":
                found[first] = second
    return found


def _source(name: str, nodes: dict[str, Any]) -> str:
    """The node that a value comes from, past those that only turn it."""
    name = name.split(":")[0]
    for _ in nodes:  # a chain is no longer than that; a circle has no end
        if name not in nodes or nodes[name]["op"] not in _PASS_THROUGH:
            break
        name = nodes[name]["input"][0].split(":")[0]
    return name


def _number(name: str) -> int:
    """The converter counts the convolutions: `convolution`, `convolution_1`, ..."""
    match = re.search(r"_(\d+)$", name)
    return int(match[1]) if match else 0
