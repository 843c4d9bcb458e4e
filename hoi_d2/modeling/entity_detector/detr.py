"""DETR as an entity detector: every query is a detection with its decoder token.

DETR: End-to-End Object Detection with Transformers, Carion et al., ECCV 2020 (arXiv 2005.12872).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn
from torchvision.ops import box_convert

from hoi_d2.checkpoint.conversion import detector_weights, fit_classes
from hoi_d2.checkpoint.strict import load_strictly
from hoi_d2.checkpoint.weight_files import WeightFile, read_weights
from hoi_d2.modeling.entity_detector.detector_classes import DetectorClasses, detector_classes
from hoi_d2.modeling.entity_detector.detr_network import (
    DetrNetwork,
    DetrOutput,
    build_detr_network,
)
from hoi_d2.modeling.entity_detector.interface import (
    ENTITY_DETECTOR_REGISTRY,
    Entities,
    EntityDetector,
)


@ENTITY_DETECTOR_REGISTRY.register()
class DetrEntityDetector(EntityDetector):
    """DETR or Conditional DETR; takes the weights of a trained `Detr`.

    Args:
        network: backbone, transformer and heads.
        pixel_mean, pixel_std: of the channels, on 0..255.
        score_threshold: detections below it are dropped; 0 keeps every query.
        classes: what the network's classes mean; None = the dataset's classes in their order.
    """

    training_only = ("dense_heads.", "network.extra_queries.")
    """Prefixes of weights that only a detector's training has; they start at random."""

    output_map: Tensor

    @configurable
    def __init__(
        self,
        *,
        network: DetrNetwork,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        score_threshold: float = 0.0,
        classes: DetectorClasses | None = None,
    ) -> None:
        super().__init__(pixel_mean=pixel_mean, pixel_std=pixel_std)
        self.network = network
        self.token_dim = network.hidden_dim
        self.classes = classes
        if classes is not None:
            classes.check_number(network.num_classes)
            self.register_buffer("output_map", classes.output_map, persistent=False)
        self.score_threshold = score_threshold

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        cfg = cfg.clone()  # what only helps the detector's own training is not built
        cfg.defrost()
        cfg.MODEL.DETR.QUERY_GROUPS = 1
        cfg.MODEL.DETR.FROZEN_BATCHNORM = True
        return cls.arguments(cfg)

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Arguments of the constructor, with the network as the config has it."""
        return {
            "network": build_detr_network(cfg),
            "classes": detector_classes(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "score_threshold": cfg.MODEL.DETR.SCORE_THRESHOLD,
        }

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
        """Turns the network's output into the entities of a batch."""
        sides = output.boxes.new_tensor(
            [(width, height) * 2 for height, width in images.image_sizes]
        )
        instances = []
        for size, side, tokens, (boxes, scores, classes) in zip(
            images.image_sizes, sides, output.tokens, self.detections(output)
        ):
            found = Instances(
                size,
                pred_boxes=Boxes(boxes * side),
                scores=scores,
                pred_classes=classes,
                tokens=tokens,
            )
            # Choosing by a mask waits for a GPU, image by image.
            kept = found[scores >= self.score_threshold] if self.score_threshold > 0 else found
            instances.append(kept)
        return Entities(instances, output.feature_map, output.feature_mask)

    def detections(self, output: DetrOutput) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each image boxes (Q, 4) XYXY as shares of the image, scores (Q,), classes (Q,)."""
        scores, classes = self._classify(output.logits[-1])
        boxes = box_convert(output.boxes[-1].float(), "cxcywh", "xyxy")
        return list(zip(boxes, scores, classes))

    def _classify(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Score and dataset class of each query: the best of the outputs that are such a class."""
        return self.class_chances(logits).max(dim=-1)

    def class_chances(self, logits: Tensor) -> Tensor:
        """(..., dataset classes) of (..., C) logits; 0 for what the network does not know."""
        chances = self.network.probabilities(logits.float())
        if self.classes is None or self.classes.is_identity:
            return chances
        return chances[..., self.output_map.clamp(min=0)] * (self.output_map >= 0)

    def load_weights(
        self, path: str | os.PathLike, *, sha256: str = "", revision: str = ""
    ) -> None:
        """From a file of any known layout: Facebook's, UPT's, of transformers, or our own."""
        file = read_weights(path, sha256=sha256, revision=revision)
        weights = self.convert_weights(file)
        load_strictly(self, weights, source=file.name, may_miss=self.training_only)

    def convert_weights(self, file: WeightFile, *, classes: str = "") -> dict[str, Tensor]:
        """A file of any known layout under the detector's names; outputs are matched by name.

        Args:
            file: as it was read.
            classes: class space of the file's outputs, where the layout does not tell it right.

        Raises:
            WeightsError: no known layout, or it lacks a class.
        """
        found = detector_weights(file, classes=classes)
        outputs = None if self.classes is None else self.classes.outputs
        rows = self.network.detr.class_labels_classifier.out_features
        return fit_classes(found, outputs, rows, file.name)
