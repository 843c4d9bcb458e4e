"""Weights of EfficientNets under the names of timm."""

from __future__ import annotations

import re
from typing import Any

from timm.models.efficientnet import EfficientNet
from torch import Tensor

from hoi_d2.checkpoint.errors import WeightsError

# Names of the `efficientnet_pytorch` family of packages -> timm's. The blocks are counted through
# there, and their norms are counted from the first convolution that the block has.
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(.+)")
_EXPANDING = {
    **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
    **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_ENDS = {
    **{"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"},
    "_fc": "classifier",
}


def efficientnet_weights(
    network: EfficientNet, weights: dict[str, Tensor], *, source: str
) -> dict[str, Tensor]:
    """Renames the weights of an EfficientNet to timm's names.

    The layer behind the pool is left out: a file's gives the classes of ImageNet, `network`'s
    keeps its own values.

    Args:
        network: the network that they are for.
        weights: timm's, or those of the `efficientnet_pytorch` family of packages.
        source: for messages.

    Raises:
        WeightsError: a block that the network does not have.
    """
    if "_conv_stem.weight" in weights:
        weights = {_renamed(network, name, source): t for name, t in weights.items()}
    own = network.state_dict()
    kept = {name: t for name, t in weights.items() if not name.startswith("classifier.")}
    return kept | {name: t for name, t in own.items() if name.startswith("classifier.")}


def _renamed(network: Any, name: str, source: str) -> str:
    found = _BLOCK.fullmatch(name)
    if not found:
        layer, _, rest = name.partition(".")
        return f"{_ENDS.get(layer, layer)}.{rest}"
    place = int(found[1])
    for number, stage in enumerate(network.blocks):
        if place < len(stage):
            names = _EXPANDING if hasattr(stage[place], "conv_pwl") else _PLAIN
            return f"blocks.{number}.{place}.{names.get(found[2], found[2])}.{found[3]}"
        place -= len(stage)
    raise WeightsError(f"{source}: {name} is of a larger network than MODEL.IMAGE_ENCODER.NAME")
