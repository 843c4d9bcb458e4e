"""DETR as an entity detector: every query is a detection with its decoder token."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from hoi_d2.modeling.entity_detector.build import ENTITY_DETECTOR_REGISTRY, Entities
from hoi_d2.modeling.entity_detector.detr_network import DetrOutput
from hoi_d2.modeling.meta_arch.detr import Detr


@ENTITY_DETECTOR_REGISTRY.register()
class DetrEntityDetector(Detr):
    """`Detr` with the interface of entity detectors; takes the weights of a trained `Detr`."""

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        cfg = cfg.clone()  # what only helps the detector's own training is not built
        cfg.defrost()
        cfg.MODEL.DETR.QUERY_GROUPS = 1
        cfg.MODEL.DETR.DENSE_LOSS_WEIGHT = 0.0
        cfg.MODEL.DETR.FROZEN_BATCHNORM = True
        return super().from_config(cfg)

    @property
    def token_dim(self) -> int:
        """d, the width of the tokens (N, d)."""
        return self.network.hidden_dim

    def encoder(self) -> tuple[nn.Conv2d, nn.ModuleList]:
        """The projection of the backbone's map and the encoder's layers, as IRE may start from."""
        model = self.network.detr.model
        return model.input_projection, model.encoder.layers

    def output_shape(self) -> ShapeSpec:
        """Channels and stride of the feature map."""
        return ShapeSpec(channels=self.network.feature_channels, stride=self.network.stride)

    def detect(self, images: ImageList, mask: Tensor) -> Entities:
        """All queries above the score threshold, with their tokens."""
        return self.entities(self.network(images.tensor, mask), images)

    def candidates(self, images: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Every query of one image before thresholds, as an exported graph gives it.

        Args:
            images: (1, 3, H, W), normalised; 0 where there is padding.
            mask: (1, H, W) bool, True inside the image.

        Returns:
            Boxes (Q, 4) XYXY as shares of the image, scores (Q,) and classes (Q,); tokens (Q, d),
            feature map (1, C, h, w) and its mask (1, h, w).
        """
        output = self.network(images, mask)
        [found] = self.detections(output)
        return *found, output.tokens[0], output.feature_map, output.feature_mask

    def entities(self, output: DetrOutput, images: ImageList) -> Entities:
        """What the network's output means for a batch of images."""
        instances = []
        for size, tokens, (boxes, scores, classes) in zip(
            images.image_sizes, output.tokens, self.detections(output)
        ):
            height, width = size
            boxes = boxes * boxes.new_tensor([width, height, width, height])
            found = Instances(
                size,
                pred_boxes=Boxes(boxes),
                scores=scores,
                pred_classes=classes,
                tokens=tokens,
            )
            instances.append(found[scores >= self.score_threshold])
        return Entities(instances, output.feature_map, output.feature_mask)
