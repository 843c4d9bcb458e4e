"""Image encoders of DEFR and DEFR-Det: CLIP's and ImageNet's towers through timm, one interface."""

from __future__ import annotations

from detectron2.config import CfgNode

from hoi_d2.modeling.image_encoder.encoder import ImageEncoder

__all__ = ["ImageEncoder", "build_image_encoder"]


def build_image_encoder(cfg: CfgNode) -> ImageEncoder:
    """The encoder of `cfg.MODEL.IMAGE_ENCODER`; see `image_encoder.build`.

    timm takes seconds to import: it is not, before a model needs it.
    """
    from hoi_d2.modeling.image_encoder import build

    return build.build_image_encoder(cfg)
