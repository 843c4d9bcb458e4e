"""Models and their parts; importing this registers all of them with detectron2."""

from hoi_d2.modeling.entity_detector.annotated import AnnotatedEntityDetector
from hoi_d2.modeling.entity_detector.build import ENTITY_DETECTOR_REGISTRY, build_entity_detector
from hoi_d2.modeling.entity_detector.detectron import DetectronEntityDetector
from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector
from hoi_d2.modeling.entity_detector.precomputed import (
    OracleEntityDetector,
    PrecomputedEntityDetector,
)
from hoi_d2.modeling.entity_detector.relatives import TransformersEntityDetector
from hoi_d2.modeling.image_encoder import build_image_encoder
from hoi_d2.modeling.meta_arch import DEFR, DEFRDet, Detr, RmLR, TransformersDetector
from hoi_d2.modeling.roi_heads.interaction_heads import InteractionHeads
from hoi_d2.modeling.roi_heads.layout_heads import LayoutHeads

__all__ = [
    "DEFR",
    "ENTITY_DETECTOR_REGISTRY",
    "AnnotatedEntityDetector",
    "DEFRDet",
    "DetectronEntityDetector",
    "Detr",
    "DetrEntityDetector",
    "InteractionHeads",
    "LayoutHeads",
    "OracleEntityDetector",
    "PrecomputedEntityDetector",
    "RmLR",
    "TransformersDetector",
    "TransformersEntityDetector",
    "build_entity_detector",
    "build_image_encoder",
]
