"""Image encoders of DEFR and DEFR-Det: CLIP's and ImageNet's towers through timm, one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectron2.config import CfgNode

from hoi_d2.modeling.image_encoder.encoder import ImageEncoder

if TYPE_CHECKING:
    from hoi_d2.model_zoo.published import HubModel

__all__ = ["ImageEncoder", "build_image_encoder", "encoder_models"]


def build_image_encoder(cfg: CfgNode, *, frozen: bool = False) -> ImageEncoder:
    """Builds the encoder of `cfg.MODEL.IMAGE_ENCODER`; see `image_encoder.build`.

    timm takes seconds to import: it is not, before a model needs it.
    """
    from hoi_d2.modeling.image_encoder import build

    return build.build_image_encoder(cfg, frozen=frozen)


def encoder_models(cfg: CfgNode, *, frozen: bool = False) -> list[HubModel]:
    """Returns the models of the Hugging Face hub that the encoder needs."""
    from hoi_d2.modeling.image_encoder import build

    return build.encoder_models(cfg, frozen=frozen)
