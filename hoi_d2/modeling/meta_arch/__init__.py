"""Registered META_ARCHITECTUREs: each forward is its paper's figure."""

from hoi_d2.modeling.meta_arch.clip_pairs import CLIPPairs
from hoi_d2.modeling.meta_arch.defr import DEFR
from hoi_d2.modeling.meta_arch.defr_det import DEFRDet
from hoi_d2.modeling.meta_arch.detr import Detr
from hoi_d2.modeling.meta_arch.layout import LayoutRmLR
from hoi_d2.modeling.meta_arch.rmlr import RmLR
from hoi_d2.modeling.meta_arch.transformers_detector import TransformersDetector
from hoi_d2.modeling.meta_arch.upt import UPT

__all__ = [
    "DEFR",
    "UPT",
    "CLIPPairs",
    "DEFRDet",
    "Detr",
    "LayoutRmLR",
    "RmLR",
    "TransformersDetector",
]
