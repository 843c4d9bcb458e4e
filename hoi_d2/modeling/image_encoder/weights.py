"""Loads weight files of image towers, in several naming schemes, for any input size."""

from __future__ import annotations

import logging
import os
import re

import torch
from timm.layers import resample_abs_pos_embed
from timm.models import byobnet, vision_transformer
from torch import Tensor

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.strict import load_strictly
from hoi_d2.checkpoint.weight_files import read_weights
from hoi_d2.modeling.image_encoder.convolutional import ConvolutionalEncoder
from hoi_d2.modeling.image_encoder.detr_trunk import detr_trunk, has_detr_trunk
from hoi_d2.modeling.image_encoder.efficientnet_weights import efficientnet_weights
from hoi_d2.modeling.image_encoder.encoder import ImageEncoder
from hoi_d2.modeling.image_encoder.vit import VisionTransformerEncoder

logger = logging.getLogger(__name__)

OWN_PREFIX = "image_encoder."
_PATCHES = ("patch_embed.proj.weight", "visual.conv1.weight", "patch_embedding.weight")
# transformers' names of CLIP's ViT -> OpenAI's, one after the other.
_TRANSFORMERS = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_?layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)


def load_image_encoder_weights(
    encoder: ImageEncoder, source: str | os.PathLike, *, sha256: str = "", revision: str = ""
) -> None:
    """Loads the weights of an encoder from a file, a folder or a hub id.

    Args:
        encoder: an encoder of the architecture of the weights; positions are resized to its grid.
        source: timm's, OpenAI's, open_clip's or transformers' weights, those of the
            `efficientnet_pytorch` packages, a DEFR checkpoint, or a DETR whose ResNet has the
            encoder's stages.
        sha256, revision: see `read_weights`.

    Raises:
        FileNotFoundError: the source is neither available locally nor on the hub.
        WeightsError: the file cannot be read or does not fit; the encoder is unchanged.
    """
    file = read_weights(source, sha256=sha256, revision=revision)
    weights = encoder_weights(encoder, file.weights, source=file.name)
    load_strictly(encoder, weights, source=file.name)
    # A DETR has no attention pool.
    encoder.is_random = has_detr_trunk(file.weights) or bool(encoder.own_layers)
    logger.info("loaded the image encoder, %d tensors, from %s", len(weights), file.name)


def encoder_weights(
    encoder: ImageEncoder, weights: dict[str, Tensor], *, source: str
) -> dict[str, Tensor]:
    """Converts the weights of an image tower to an encoder's names and size.

    Raises:
        WeightsError: the patch size differs, or the weights end in a classifier.
    """
    if any(name.startswith(OWN_PREFIX) for name in weights):
        own = {n: t for n, t in weights.items() if n.startswith(OWN_PREFIX)}
        return resize_positions(encoder, {n.removeprefix(OWN_PREFIX): t for n, t in own.items()})
    if has_detr_trunk(weights):
        return detr_trunk(encoder, weights, source=source)
    if any(name.startswith("vision_model.") for name in weights):
        weights = _from_transformers(weights)
    _check_patches(encoder, weights, source)
    network = encoder.network
    if isinstance(encoder, VisionTransformerEncoder):
        found = vision_transformer.checkpoint_filter_fn(
            dict(weights), network, antialias=False, align_corners=False
        )
        projection = _take_head(found, encoder, source)
    elif isinstance(encoder, ConvolutionalEncoder):
        found, projection = efficientnet_weights(network, weights, source=source), {}
    else:
        found, projection = byobnet.checkpoint_filter_fn(dict(weights), network), {}
    named = {f"network.{name}": tensor for name, tensor in found.items()}
    return resize_positions(encoder, named | projection)


def resize_positions(
    encoder: ImageEncoder, weights: dict[str, Tensor], *, prefix: str = ""
) -> dict[str, Tensor]:
    """Resizes position embeddings to an encoder's grid, as in DEFR's release.

    Bicubic without aligned corners or antialiasing; the position of the first token is kept.

    Args:
        encoder: the encoder with the grid.
        weights: the weights, under the encoder's names.
        prefix: the prefix of the names.
    """
    if not encoder.position_table:
        return weights
    name = f"{prefix}network.{encoder.position_table}"
    own = encoder.network.get_parameter(encoder.position_table)
    table = weights.get(name)
    if table is None or table.shape == own.shape or table.shape[-1] != own.shape[-1]:
        return weights
    resized = resample_abs_pos_embed(
        table.reshape(1, *table.shape[-2:]),
        list(encoder.grid),
        num_prefix_tokens=1,
        antialias=False,
        align_corners=False,
    )
    logger.info("resized %d positions to a grid of %d x %d", table.shape[-2] - 1, *encoder.grid)
    return {**weights, name: resized.reshape(own.shape)}


def _take_head(found: dict[str, Tensor], encoder: ImageEncoder, source: str) -> dict[str, Tensor]:
    """Removes the layer after the tower from `found`; returns it if it is CLIP's projection."""
    weight, bias = found.pop("head.weight", None), found.pop("head.bias", None)
    if encoder.visual_projection is None or weight is None:
        return {}
    if bias is not None and bias.any():
        raise WeightsError(
            f"{source} ends in a classifier with a bias, not in CLIP's visual projection; name the "
            "weights of CLIP itself, or one of timm's models that is not CLIP"
        )
    return {"visual_projection": weight.T.contiguous()}


def _check_patches(encoder: ImageEncoder, weights: dict[str, Tensor], source: str) -> None:
    """Raises WeightsError for another patch size, because timm would resize the patches."""
    first = next((t for n, t in weights.items() if n.endswith(_PATCHES)), None)
    if not isinstance(encoder, VisionTransformerEncoder) or first is None:
        return
    own = tuple(encoder.network.patch_embed.proj.weight.shape[-2:])
    if first.ndim == 4 and tuple(first.shape[-2:]) != own:
        raise WeightsError(
            f"{source} has patches of {first.shape[-1]} pixels, MODEL.IMAGE_ENCODER.NAME names a "
            f"model with {own[1]}"
        )


def _from_transformers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames CLIP's image tower to OpenAI's names, without the text tower."""
    found = {}
    for name, tensor in weights.items():
        if name.endswith("position_ids") or not name.startswith(("vision_model.", "visual_proj")):
            continue
        for pattern, replacement in _TRANSFORMERS:
            name = re.sub(pattern, replacement, name)
        found[name] = tensor
    projection = found.pop("visual_projection.weight", None)
    if projection is not None:
        found["visual.proj"] = projection.T
    return _join_query_key_value(found)


def _join_query_key_value(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    joined = {n: t for n, t in weights.items() if ".self_attn." not in n}
    for name in [n for n in weights if ".self_attn.q_proj." in n]:
        parts = [weights[name.replace(".q_proj.", f".{which}_proj.")] for which in "qkv"]
        target = name.replace(".self_attn.q_proj.", ".attn.in_proj_")
        joined[target] = torch.cat(parts)
    return joined
