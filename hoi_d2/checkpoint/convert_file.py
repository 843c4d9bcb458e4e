"""A detector's weights of any layout -> a safetensors file in ours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.conversion import detector_weights
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.nanodet_conversion import nanodet_metadata, nanodet_weights
from hoi_d2.checkpoint.weight_files import read_weights
from hoi_d2.utils.files import write_atomically


def convert_file(
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    sha256: str = "",
    revision: str = "",
    classes: str = "",
    model: nn.Module | None = None,
) -> dict[str, str]:
    """Writes the weights under our names; the names of the outputs go into the metadata.

    Args:
        source: file, directory or hub id; `.json` is NanoDet-g as a graph of TensorFlow.js.
        output: ends in `.safetensors`.
        sha256, revision, classes: see `HOICheckpointer.load`.
        model: a `Detr` that the weights must fit; what it would load is what is written. Not for
            NanoDet-g.

    Returns:
        The file's metadata: `layout` of the source, `classes` where they are known.

    Raises:
        FileNotFoundError: no such source.
        ValueError: another ending.
        WeightsError: the source cannot be read or does not fit.
    """
    output = Path(output)
    if output.suffix != ".safetensors":
        raise ValueError(f"{output}: weights are saved as .safetensors")
    if Path(source).suffix == ".json":
        weights, metadata = _nanodet(source, sha256)
    else:
        weights, metadata = _detr(source, sha256, revision, classes, model)
    data = save({n: t.contiguous().clone() for n, t in weights.items()}, metadata=metadata)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, lambda handle: handle.write(data))
    return metadata


def _detr(
    source: str | os.PathLike, sha256: str, revision: str, classes: str, model: nn.Module | None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    found = detector_weights(
        read_weights(source, sha256=sha256, revision=revision), classes=classes
    )
    weights, names = found.weights, found.classes
    if model is not None:
        HOICheckpointer(model).load(str(source), sha256=sha256, revision=revision, classes=classes)
        weights = dict(model.state_dict())
        space: Any = model.classes
        names = space and space.outputs
    metadata = {"format": "pt", "hoi_d2": "Detr", "layout": found.layout}
    if names is not None:
        metadata["classes"] = json.dumps(names)
    return weights, metadata


def _nanodet(source: str | os.PathLike, sha256: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    weights, metadata = nanodet_weights(source), nanodet_metadata(source)
    if sha256 and not metadata["source_sha256"].startswith(sha256.lower()):
        raise WeightsError(
            f"the binary file of {source} has SHA-256 {metadata['source_sha256']}, not {sha256}"
        )
    return weights, metadata
