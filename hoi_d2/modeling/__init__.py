"""Models and their parts; importing this package registers all of them with detectron2.

Start with `meta_arch`, the complete models; the other modules are their parts.

- `meta_arch`: detectron2's meta-architectures DEFR, DEFR-Det, CLIP-Pairs, RmLR, UPT, detectors.
- `entity_detector`: detectors that find the persons and objects of pairs.
- `roi_heads`: entities to pairs, heads of RmLR and UPT, matching with annotations, results.
- `image_encoder`: the encoders of DEFR and DEFR-Det.
- `language`: sentences of the classes, text encoders, the language classifier, the alignment.
- `losses`: the losses of pairs and of images.
- `layers`: self-attention over padded sets.
"""

from hoi_d2.modeling.entity_detector.annotated import AnnotatedEntityDetector
from hoi_d2.modeling.entity_detector.build import build_entity_detector
from hoi_d2.modeling.entity_detector.detectron2_detectors import DetectronEntityDetector
from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector
from hoi_d2.modeling.entity_detector.interface import ENTITY_DETECTOR_REGISTRY
from hoi_d2.modeling.entity_detector.nanodet import NanoDetEntityDetector
from hoi_d2.modeling.entity_detector.precomputed import (
    OracleEntityDetector,
    PrecomputedEntityDetector,
)
from hoi_d2.modeling.entity_detector.transformers_detectors import TransformersEntityDetector
from hoi_d2.modeling.image_encoder import build_image_encoder
from hoi_d2.modeling.meta_arch import (
    DEFR,
    UPT,
    CLIPPairs,
    DEFRDet,
    Detr,
    RmLR,
    TransformersDetector,
)
from hoi_d2.modeling.roi_heads.interaction_heads import InteractionHeads
from hoi_d2.modeling.roi_heads.layout_heads import LayoutHeads
from hoi_d2.modeling.roi_heads.upt_heads import UPTHeads

__all__ = [
    "DEFR",
    "ENTITY_DETECTOR_REGISTRY",
    "UPT",
    "AnnotatedEntityDetector",
    "CLIPPairs",
    "DEFRDet",
    "DetectronEntityDetector",
    "Detr",
    "DetrEntityDetector",
    "InteractionHeads",
    "LayoutHeads",
    "NanoDetEntityDetector",
    "OracleEntityDetector",
    "PrecomputedEntityDetector",
    "RmLR",
    "TransformersDetector",
    "TransformersEntityDetector",
    "UPTHeads",
    "build_entity_detector",
    "build_image_encoder",
]
