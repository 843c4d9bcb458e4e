"""Image encoders of DEFR and DEFR-Det: CLIP's and ImageNet's towers through timm, one interface."""

from hoi_d2.modeling.image_encoder.build import build_image_encoder, encoder_models
from hoi_d2.modeling.image_encoder.encoder import ImageEncoder

__all__ = ["ImageEncoder", "build_image_encoder", "encoder_models"]
