"""The one interface of entity detectors, and how one is built."""

from __future__ import annotations

from dataclasses import dataclass

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.structures import ImageList, Instances
from detectron2.utils.registry import Registry
from torch import Tensor, nn

ENTITY_DETECTOR_REGISTRY = Registry("ENTITY_DETECTOR")
ENTITY_DETECTOR_REGISTRY.__doc__ = """
Detectors that find the entities of RmLR's pairs. Called with `(cfg)`; an instance has
`preprocess(batched_inputs) -> (ImageList, mask)`, `detect(images, mask) -> Entities`,
`output_shape() -> ShapeSpec` of the feature map and `token_dim`.
"""


@dataclass
class Entities:
    """What an entity detector finds in a batch.

    Attributes:
        instances: for each image `pred_boxes` (XYXY pixels of the network's input), `scores`,
            `pred_classes` (of the dataset's vocabulary) and `tokens` (N, d).
        feature_map: (B, C, h, w) last map of the backbone.
        feature_mask: (B, h, w) bool, True inside the images.
    """

    instances: list[Instances]
    feature_map: Tensor
    feature_mask: Tensor


class EntityDetector(nn.Module):
    """Documents the interface; see `ENTITY_DETECTOR_REGISTRY`."""

    token_dim: int

    def preprocess(self, batched_inputs: list[dict]) -> tuple[ImageList, Tensor]:
        raise NotImplementedError

    def detect(self, images: ImageList, mask: Tensor) -> Entities:
        raise NotImplementedError

    def output_shape(self) -> ShapeSpec:
        raise NotImplementedError


def build_entity_detector(cfg: CfgNode) -> EntityDetector:
    """The detector named `cfg.MODEL.ENTITY_DETECTOR.NAME`, frozen and in evaluation mode."""
    detector = ENTITY_DETECTOR_REGISTRY.get(cfg.MODEL.ENTITY_DETECTOR.NAME)(cfg)
    detector.requires_grad_(False)
    return detector.eval()
