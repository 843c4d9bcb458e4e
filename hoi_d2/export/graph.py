"""`Graph`: one ONNX file of an exported model, written and then compared with torch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hoi_d2.utils.extras import import_extra

OPSET = 18
TIES = 1e-3
"""Share of rows whose class may differ: where two classes score alike, the last digit decides."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A module to export, with names for its inputs and outputs.

    Args:
        name: file name without suffix.
        module: a module whose inputs and outputs are tensors.
        inputs, outputs: their names.
        example: number of pairs -> inputs; a graph without pairs ignores the number.
        per_pair: names of inputs and outputs with one row per pair.
        per_entity: names of those with one row per entity. All others have a fixed size.
    """

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    example: Callable[[int], tuple[Tensor, ...]]
    per_pair: tuple[str, ...] = ()
    per_entity: tuple[str, ...] = ()

    def file(self, folder: Path) -> Path:
        """Returns the path of the graph in the folder of a model."""
        return folder / f"{self.name}.onnx"

    @torch.no_grad()
    def write(self, folder: Path) -> Path:
        """Writes the file and returns its path."""
        path = self.file(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns of every fixed shape
            torch.onnx.export(
                self.module.eval(),
                self.example(3),
                str(path),
                input_names=list(self.inputs),
                output_names=list(self.outputs),
                dynamic_axes={name: {0: "pairs"} for name in self.per_pair}
                | {name: {0: "entities"} for name in self.per_entity},
                opset_version=OPSET,
                dynamo=False,  # the other exporter needs the package onnxscript
            )
        return path

    @torch.no_grad()
    def differences(self, folder: Path, *, pairs: tuple[int, ...]) -> dict[str, float]:
        """Compares the outputs of onnxruntime and torch.

        Args:
            folder: the folder of the file.
            pairs: numbers of pairs to compare with, one after the other.

        Returns:
            "graph: output" with the number of pairs -> `difference` of the two.

        Raises:
            MissingExtraError: onnxruntime is not installed.
        """
        onnxruntime = import_extra("onnxruntime", extra="export", needed_by="the check")
        session = onnxruntime.InferenceSession(
            str(self.file(folder)), providers=["CPUExecutionProvider"]
        )
        used = {i.name for i in session.get_inputs()}  # the exporter drops unused inputs
        found = {}
        for number in pairs if self.per_pair else (0,):
            inputs = self.example(number)
            named = {n: x.numpy() for n, x in zip(self.inputs, inputs) if n in used}
            suffix = f", {number} pairs" if self.per_pair else ""
            given = session.run(list(self.outputs), named)
            wanted = self.module(*inputs)
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            for name, right, other in zip(self.outputs, wanted, given, strict=True):
                found[f"{self.name}: {name}{suffix}"] = difference(right, torch.from_numpy(other))
        return found


def difference(right: Tensor, other: Tensor) -> float:
    """Returns the largest difference, relative to the largest value if that is above 1.

    A float has only seven digits. For integers (classes) it is the share of rows that differ, or 0
    if that is at most `TIES`. It is infinite if the shapes differ or a value is NaN.
    """
    if right.shape != other.shape:
        return float("inf")
    if not right.numel():
        return 0.0
    if not right.is_floating_point():
        share = float((right != other).double().mean())
        return share if share > TIES else 0.0
    right, other = right.double(), other.double()
    value = float((right - other).abs().max() / right.abs().max().clamp(min=1))
    return float("inf") if math.isnan(value) else value
