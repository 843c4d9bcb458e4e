"""Builds the image encoder of a config and loads its weights."""

from __future__ import annotations

import logging
from typing import Any, cast

import timm
from detectron2.config import CfgNode
from timm.models import PretrainedCfg, is_model_in_modules
from timm.models.byobnet import ByoBlockCfg, ByobNet
from timm.models.efficientnet import EfficientNet
from timm.models.vision_transformer import VisionTransformer

from hoi_d2.checkpoint.hub import is_hub_id
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.image_encoder.attention_pool import AttentionPoolEncoder
from hoi_d2.modeling.image_encoder.convolutional import ConvolutionalEncoder
from hoi_d2.modeling.image_encoder.encoder import EncoderOptions, ImageEncoder
from hoi_d2.modeling.image_encoder.vit import VisionTransformerEncoder
from hoi_d2.modeling.image_encoder.weights import load_image_encoder_weights
from hoi_d2.modeling.layers.onednn import use_onednn
from hoi_d2.modeling.layers.precision import precision_named

logger = logging.getLogger(__name__)
Network = VisionTransformer | ByobNet | EfficientNet


def build_image_encoder(cfg: CfgNode, *, frozen: bool = False) -> ImageEncoder:
    """Builds the encoder of `cfg.MODEL.IMAGE_ENCODER`.

    Its weights are those of the name's tag or of `WEIGHTS`. None are read if `cfg.MODEL.WEIGHTS` is
    set, which includes them. If the tag's weights are not available, the encoder stays random, with
    a warning.

    Args:
        cfg: the whole config.
        frozen: the model never trains it and its checkpoints leave it out, so that its weights are
            read in any case.

    Raises:
        ValueError: the model is unknown or of another kind, or the input size does not fit.
        FileNotFoundError: `WEIGHTS` does not exist.
        WeightsError: the weights do not fit.
    """
    node = cfg.MODEL.IMAGE_ENCODER
    options = _options(node.OPTIONS)
    image_size = node.IMAGE_SIZE or cfg.INPUT.SQUARE_SIZE
    pretrained = _pretrained(node.NAME)
    projection = options.pop("visual_projection", _projection(node.NAME, pretrained))
    network = _network(node.NAME, pretrained, image_size, options)
    _check_image_size(node.NAME, network, image_size)
    form: EncoderOptions = {
        "image_size": image_size,
        "pixel_mean": tuple(pretrained.mean),
        "pixel_std": tuple(pretrained.std),
        "visual_projection": projection if isinstance(network, VisionTransformer) else 0,
    }
    encoder = _encoder(network, form, recompute=node.ACTIVATION_CHECKPOINTING)
    encoder.precision = precision_named(node.PRECISION, key="MODEL.IMAGE_ENCODER.PRECISION")
    use_onednn(encoder, enabled=cfg.MODEL.ONEDNN_LINEAR)
    if frozen or not cfg.MODEL.WEIGHTS:
        _load(encoder, node, pretrained)
    if node.FROZEN:
        encoder.freeze()
    return encoder


def encoder_models(cfg: CfgNode, *, frozen: bool = False) -> list[HubModel]:
    """The models of the Hugging Face hub that the image encoder is loaded from."""
    node, in_checkpoint = cfg.MODEL.IMAGE_ENCODER, bool(cfg.MODEL.WEIGHTS) and not frozen
    if in_checkpoint or not (node.WEIGHTS or "." in node.NAME):
        return []
    source = node.WEIGHTS or _pretrained(node.NAME).hf_hub_id or ""
    return [HubModel(source, node.REVISION)] if is_hub_id(source) else []


def _encoder(network: Network, form: EncoderOptions, *, recompute: bool) -> ImageEncoder:
    if isinstance(network, VisionTransformer):
        return VisionTransformerEncoder(network, activation_checkpointing=recompute, **form)
    if isinstance(network, EfficientNet):
        return ConvolutionalEncoder(network, activation_checkpointing=recompute, **form)
    return AttentionPoolEncoder(network, activation_checkpointing=recompute, **form)


def _pretrained(name: str) -> PretrainedCfg:
    """timm's description of a model and its weights.

    Raises:
        ValueError: the model or the tag is unknown; the message lists the tags.
    """
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise ValueError(f"MODEL.IMAGE_ENCODER.NAME {name!r}: timm has no model {architecture!r}")
    try:
        found = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        known = ", ".join(timm.list_models(f"{architecture}.*", pretrained=True)) or "none"
        raise ValueError(
            f"MODEL.IMAGE_ENCODER.NAME {name!r}: timm has no such weights; expected one of {known}"
        ) from error
    return cast(PretrainedCfg, found)  # None is for unregistered ones


def _projection(name: str, pretrained: PretrainedCfg) -> int:
    """The width of CLIP's visual projection; 0 if the tower is followed by a classifier."""
    architecture, _, tag = name.partition(".")
    return pretrained.num_classes if "_clip_" in architecture and tag and "_ft_" not in tag else 0


def _options(node: CfgNode) -> dict[str, Any]:
    """Converts a config node to constructor arguments of timm; a ResNet's stages to its blocks."""
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in node.items()}
    if "depths" in options:
        depths, channels = options.pop("depths"), options.pop("channels")
        strides = options.pop("strides", (1, *[2] * (len(depths) - 1)))
        kind = options.pop("block", "bottle")
        narrowing = 0.25 if kind == "bottle" else 1.0
        options["blocks"] = tuple(
            ByoBlockCfg(type=kind, d=depth, c=width, s=stride, br=narrowing)
            for depth, width, stride in zip(depths, channels, strides, strict=True)
        )
    return options


def _network(
    name: str, pretrained: PretrainedCfg, image_size: int, options: dict[str, Any]
) -> Network:
    architecture = name.partition(".")[0]
    is_resnet = architecture.startswith("resnet")  # its pool's projection is part of the tower
    num_classes = pretrained.num_classes if is_resnet else 0
    arguments: dict[str, Any] = {"num_classes": num_classes}
    if not is_model_in_modules(architecture, ("efficientnet",)):  # which has no positions
        arguments["img_size"] = image_size
    try:
        network = timm.create_model(architecture, pretrained=False, **(arguments | options))
    except (TypeError, AssertionError) as error:
        raise ValueError(f"MODEL.IMAGE_ENCODER.NAME {name!r} cannot be built: {error}") from error
    if not isinstance(network, Network):
        raise ValueError(
            f"MODEL.IMAGE_ENCODER.NAME {name!r} is a {type(network).__name__}; expected a vision "
            "transformer with a CLS token or a CLIP ResNet, with one query in the last stage, or "
            "an EfficientNet without squeeze-and-excitation"
        )
    return network


def _check_image_size(name: str, network: Any, image_size: int) -> None:
    is_transformer = isinstance(network, VisionTransformer)
    last = network.feature_info[-1]["reduction"]
    patch = network.patch_embed.patch_size[0] if is_transformer else last
    if image_size % patch:
        near = round(image_size / patch) * patch
        raise ValueError(
            f"an input of {image_size} pixels does not divide into the patches of {name}, which "
            f"have {patch}; set MODEL.IMAGE_ENCODER.IMAGE_SIZE and INPUT.SQUARE_SIZE to {near}"
        )


def _load(encoder: ImageEncoder, node: CfgNode, pretrained: PretrainedCfg) -> None:
    check = {"sha256": node.SHA256, "revision": node.REVISION}
    if node.WEIGHTS:
        load_image_encoder_weights(encoder, node.WEIGHTS, **check)
        return
    if "." not in node.NAME:
        return  # no tag: trained from scratch
    try:
        load_image_encoder_weights(encoder, pretrained.hf_hub_id or "", **check)
    except FileNotFoundError as error:
        encoder.stand_in = (
            f"RANDOM WEIGHTS in the image encoder {node.NAME}, its scores mean nothing: {error}. "
            "Or name a weight file in MODEL.IMAGE_ENCODER.WEIGHTS"
        )
        logger.warning(encoder.stand_in)
