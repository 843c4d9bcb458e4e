"""Any detector of detectron2 as an entity detector: its boxes, and tokens by RoI pooling."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode, LazyConfig, configurable, get_cfg, instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from hoi_d2.checkpoint.zoo_weights import load_zoo_weights
from hoi_d2.model_zoo import config_file
from hoi_d2.modeling.entity_detector.detector_classes import (
    DetectorClasses,
    dataset_objects,
    named_classes,
)
from hoi_d2.modeling.entity_detector.interface import (
    ENTITY_DETECTOR_REGISTRY,
    Entities,
    EntityDetector,
)
from hoi_d2.modeling.entity_detector.same_size import groups_of_one_size, pad_maps

_POOLED = 7  # bins a side, of which a token is the mean
_COARSEST = 32


@ENTITY_DETECTOR_REGISTRY.register()
class DetectronEntityDetector(EntityDetector):
    """A META_ARCHITECTURE of detectron2 with a `backbone`: Faster or Cascade R-CNN, RetinaNet, ...

    A detection's token is the mean of RoIAlign on the backbone's maps. Images of one size go
    through the detector together, so that an image's result does not depend on its batch.

    Args:
        detector: the model, with detectron2's interface.
        classes: what its classes mean.
        feature: name of the backbone's output that is the feature map.
        token_features: names of the outputs that tokens are pooled from, finest first.
        is_bgr: the detector wants blue first.
    """

    detector: Any
    class_map: Tensor

    @configurable
    def __init__(
        self,
        *,
        detector: nn.Module,
        classes: DetectorClasses,
        feature: str,
        token_features: tuple[str, ...],
        is_bgr: bool = True,
    ) -> None:
        super().__init__()
        self.detector, self.classes = detector, classes
        self.feature, self.token_features, self.is_bgr = feature, token_features, is_bgr
        shapes = backbone_shapes(detector)
        self._shape = shapes[feature]
        self.token_dim = shapes[token_features[0]].channels
        self.pooler = ROIPooler(
            output_size=_POOLED,
            scales=[1 / shapes[name].stride for name in token_features],
            sampling_ratio=2,
            pooler_type="ROIAlignV2",
        )
        self.register_buffer("class_map", classes.map, persistent=False)
        self._maps: dict[str, Tensor] = {}
        self.detector.backbone.register_forward_hook(self._keep_maps)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        node = cfg.MODEL.ENTITY_DETECTOR
        detector, image_format = _build_detector(
            node.DETECTRON.CONFIG_FILE, list(node.DETECTRON.OPTS), cfg.MODEL.DEVICE
        )
        shapes = backbone_shapes(detector)
        usable = {n: s for n, s in shapes.items() if s.stride <= _COARSEST}
        feature = node.DETECTRON.FEATURE or max(usable, key=lambda n: usable[n].stride)
        if feature not in shapes:
            raise ValueError(
                f"MODEL.ENTITY_DETECTOR.DETECTRON.FEATURE {feature!r} is none of the backbone's "
                f"{', '.join(shapes)}"
            )
        alike = [n for n, s in usable.items() if s.channels == shapes[feature].channels]
        return {
            "detector": detector,
            "classes": named_classes(node.CLASSES or "coco_80", dataset_objects(cfg)),
            "feature": feature,
            "token_features": tuple(sorted(alike, key=lambda n: shapes[n].stride)),
            "is_bgr": image_format == "BGR",
        }

    def output_shape(self) -> ShapeSpec:
        """Channels and stride of the feature map."""
        return ShapeSpec(channels=self._shape.channels, stride=self._shape.stride)

    @torch.no_grad()
    def detect(self, images: ImageList, mask: Tensor) -> Entities:
        """The detector's own selection (its score threshold and suppression), with tokens."""
        instances: list[Any] = [None] * len(images)
        maps: list[Any] = [None] * len(images)
        for indices, raw_images in groups_of_one_size(images):
            height, width = raw_images.shape[-2:]
            raw_images = raw_images.flip(1) if self.is_bgr else raw_images
            inputs = [{"image": x, "height": height, "width": width} for x in raw_images]
            found = [output["instances"] for output in self.detector(inputs)]
            tokens = self._tokens([x.pred_boxes for x in found])
            for row, index in enumerate(indices):
                instances[index] = self._entities(found[row], tokens[row])
                maps[index] = self._map_of(row, height, width)
        self._maps = {}
        return Entities(instances, *pad_maps(maps))

    def load_weights(
        self, path: str | os.PathLike, *, sha256: str = "", revision: str = ""
    ) -> None:
        """From detectron2's model zoo (`.pkl`), a checkpoint (`.pth`), or safetensors."""
        load_zoo_weights(self.detector, path, sha256=sha256)

    def _keep_maps(self, module: nn.Module, inputs: tuple, outputs: dict[str, Tensor]) -> None:
        self._maps = outputs

    def _tokens(self, boxes: list) -> list[Tensor]:
        pooled = self.pooler([self._maps[name] for name in self.token_features], boxes)
        tokens = pooled.float().mean(dim=(2, 3)).reshape(-1, self.token_dim)
        return list(tokens.split([len(b) for b in boxes]))

    def _map_of(self, row: int, height: int, width: int) -> Tensor:
        """The cells that the image covers; the detector pads it by itself."""
        stride = self._shape.stride
        rows, columns = -(-height // stride), -(-width // stride)
        return self._maps[self.feature][row, :, :rows, :columns].float()

    def _entities(self, found: Instances, tokens: Tensor) -> Instances:
        """Those of the dataset's classes."""
        entities = Instances(
            found.image_size,
            pred_boxes=found.pred_boxes,
            scores=found.scores,
            pred_classes=self.class_map[found.pred_classes],
            tokens=tokens,
        )
        return entities[entities.pred_classes >= 0]


def backbone_shapes(detector: nn.Module) -> dict[str, ShapeSpec]:
    """The outputs of a detector's backbone.

    Raises:
        ValueError: it has no backbone of detectron2's kind.
    """
    backbone: Any = getattr(detector, "backbone", None)
    if not hasattr(backbone, "output_shape"):
        raise ValueError(f"{type(detector).__name__} has no backbone with `output_shape()`")
    return backbone.output_shape()


def _build_detector(path: str, opts: list[str], device: str) -> tuple[nn.Module, str]:
    """The model, and its channel order."""
    if not path:
        raise ValueError(
            "MODEL.ENTITY_DETECTOR.DETECTRON.CONFIG_FILE is empty: name detectron2's config of the "
            "detector (.yaml, or .py of a lazy config)"
        )
    if path.endswith(".py"):
        lazy = LazyConfig.apply_overrides(LazyConfig.load(path), opts)
        return instantiate(lazy.model).to(device), lazy.model.get("input_format", "BGR")
    from hoi_d2.config.defaults import add_hoi_config

    cfg = get_cfg()
    add_hoi_config(cfg)  # so that the file may also be one of ours
    cfg.INPUT.FORMAT = "BGR"
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [103.53, 116.28, 123.675], [1.0, 1.0, 1.0]
    cfg.merge_from_file(path if Path(path).is_file() else config_file(path))
    cfg.merge_from_list([*opts, "MODEL.DEVICE", device])
    return build_model(cfg), cfg.INPUT.FORMAT
