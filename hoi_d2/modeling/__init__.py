"""Models and their parts; importing this registers all of them with detectron2."""

from hoi_d2.modeling.entity_detector.build import build_entity_detector
from hoi_d2.modeling.entity_detector.detectron2_detectors import DetectronEntityDetector
from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector
from hoi_d2.modeling.entity_detector.interface import ENTITY_DETECTOR_REGISTRY
from hoi_d2.modeling.entity_detector.precomputed import (
    OracleEntityDetector,
    PrecomputedEntityDetector,
)
from hoi_d2.modeling.entity_detector.transformers_detectors import TransformersEntityDetector
from hoi_d2.modeling.image_encoder import build_image_encoder
from hoi_d2.modeling.meta_arch import DEFR, DEFRDet, Detr, RmLR, TransformersDetector
from hoi_d2.modeling.roi_heads.interaction_heads import InteractionHeads

__all__ = [
    "DEFR",
    "ENTITY_DETECTOR_REGISTRY",
    "DEFRDet",
    "DetectronEntityDetector",
    "Detr",
    "DetrEntityDetector",
    "InteractionHeads",
    "OracleEntityDetector",
    "PrecomputedEntityDetector",
    "RmLR",
    "TransformersDetector",
    "TransformersEntityDetector",
    "build_entity_detector",
    "build_image_encoder",
]
