"""NanoDet-g as a graph of TensorFlow.js -> names and layout of our network."""

from __future__ import annotations

import json
import os
from pathlib import Path

from torch import Tensor

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.tfjs import binary_files, read_convolutions, read_graph_model
from hoi_d2.data.class_spaces import class_space
from hoi_d2.utils.files import sha256_of

BLOCKS = (1, 2, 2, 3)  # of the four stages
LEVELS = 3
_PARTS = ("first", "second")  # of a block


def nanodet_weights(path: str | os.PathLike) -> dict[str, Tensor]:
    """The state dict of `NanoDetNetwork`, in the type that the file has.

    The first convolution wants blue first there and red first here, as all images of this project.

    Args:
        path: `nanodet.json`, with `nanodet.bin` next to it.

    Raises:
        FileNotFoundError: one of them is not there.
        WeightsError: they cannot be read, or are another network.
    """
    names, found = convolution_names(), read_convolutions(path)
    if len(found) != len(names):
        raise WeightsError(
            f"{path} is not NanoDet-g: expected {len(names)} convolutions, got {len(found)}"
        )
    weights: dict[str, Tensor] = {}
    for name, (weight, bias) in zip(names, found):
        weights |= {f"{name}.weight": weight, f"{name}.bias": bias}
    first = f"{names[0]}.weight"
    return weights | {first: weights[first].flip(1)}


def convolution_names() -> list[str]:
    """Names of the convolutions, in the order in which the network was exported."""
    names = ["backbone.stem.0"]
    for stage, blocks in enumerate(BLOCKS):
        prefix = f"backbone.stages.{stage}"
        parts = [f"blocks.{block}.{part}" for block in range(blocks) for part in _PARTS]
        names += [f"{prefix}.{part}.0" for part in ("down", *parts, "merge")]
    names += [f"pan.laterals.{level}" for level in range(LEVELS)]
    for level in range(LEVELS):
        names += [f"heads.{level}.conv.0", f"heads.{level}.output"]
    return names


def nanodet_metadata(path: str | os.PathLike) -> dict[str, str]:
    """What is written next to the weights: classes, where they come from, and the licence."""
    path = Path(path)
    model = read_graph_model(path)
    [file] = binary_files(path, model["weightsManifest"])
    return {
        "format": "pt",
        "hoi_d2": "NanoDetEntityDetector",
        "layout": "nanodet",
        "classes": json.dumps(class_space("coco_80")),
        "config": "NanoDet-g: 416 x 416, red first, batch norms folded into the convolutions",
        "authors": "RangiLyu and the NanoDet contributors",
        "license": "Apache-2.0",
        "source": "https://github.com/RangiLyu/nanodet",
        "source_sha256": sha256_of(file),
    }
