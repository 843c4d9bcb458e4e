"""Uses the ResNet of a trained DETR as the convolutions of a CLIP-ResNet-like encoder.

On a CPU, a small encoder does not learn HOI classes from image-level labels alone in reasonable
time. The paper's encoders are pre-trained; the toy world's encoder starts from the detector's
ResNet instead, which has the same basic blocks as timm's.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.modeling.image_encoder.encoder import ImageEncoder

_PREFIX = "network.detr.model.backbone.model."
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # DETR's input
# transformers' names of a ResNet of basic blocks -> timm's, one after the other.
_NAMES = (
    (r"^embedder\.embedder\.", "stem.conv1."),
    (r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.", r"stages.\1.\2."),
    (r"\.layer\.0\.", ".conv1_kxk."),
    (r"\.layer\.1\.", ".conv2_kxk."),
    (r"\.convolution\.", ".conv."),
    (r"\.normalization\.", ".bn."),
)


def has_detr_trunk(weights: dict[str, Tensor]) -> bool:
    """Whether these are the weights of this project's DETR."""
    return any(name.startswith(_PREFIX) for name in weights)


def detr_trunk(
    encoder: ImageEncoder, weights: dict[str, Tensor], *, source: str
) -> dict[str, Tensor]:
    """Replaces the convolutions in an encoder's weights by a DETR's ResNet.

    The attention pool is unchanged. The first convolution is rescaled, because the encoder and the
    DETR normalise their inputs differently.

    Args:
        encoder: an encoder with the same stages (stem_type 7x7, stem_pool maxpool, basic blocks,
            no aa_layer, downsample conv1x1).
        weights: the weights of a Detr.
        source: the name of the weights in messages.

    Raises:
        WeightsError: the stages differ.
    """
    trunk = {}
    for name, tensor in weights.items():
        if name.startswith(_PREFIX):
            name = name.removeprefix(_PREFIX)
            for pattern, replacement in _NAMES:
                name = re.sub(pattern, replacement, name)
            trunk[f"network.{name}"] = tensor.float()
    own = encoder.state_dict()
    lacking = [n for n in own if n not in trunk and not _not_in_a_detr(n)]
    wrong = [n for n, t in trunk.items() if n not in own or own[n].shape != t.shape]
    if lacking or wrong:
        raise WeightsError(
            f"{source}: the ResNet of this DETR does not fit MODEL.IMAGE_ENCODER.OPTIONS; the "
            f"encoder wants {lacking[:3]}, the file has {wrong[:3]}"
        )
    _take_over_input(encoder, trunk)
    return own | trunk


def _not_in_a_detr(name: str) -> bool:
    return name.startswith("network.head.") or name.endswith("num_batches_tracked")


def _take_over_input(encoder: ImageEncoder, trunk: dict[str, Tensor]) -> None:
    """conv((p - m) / s) of the DETR as a convolution of the encoder's (p - m') / s'."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (_IMAGENET_MEAN, _IMAGENET_STD))
    weight = trunk["network.stem.conv1.conv.weight"]
    shift = (encoder.pixel_mean.cpu() - mean) / std
    # The batch norm behind it takes the constant; only at the border, where zeros are padded, is
    # the sum another one.
    trunk["network.stem.conv1.bn.running_mean"] -= (weight * shift).sum(dim=(1, 2, 3))
    trunk["network.stem.conv1.conv.weight"] = weight * (encoder.pixel_std.cpu() / std)
