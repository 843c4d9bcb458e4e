"""The one interface of entity detectors, and how one is built."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.structures import ImageList, Instances
from detectron2.utils.registry import Registry
from torch import Tensor, nn

ENTITY_DETECTOR_REGISTRY = Registry("ENTITY_DETECTOR")
ENTITY_DETECTOR_REGISTRY.__doc__ = """
Detectors that find the entities of RmLR's pairs. Called with `(cfg)`; see `EntityDetector`.
"""


@dataclass
class Entities:
    """What an entity detector finds in a batch.

    Attributes:
        instances: for each image `pred_boxes` (XYXY pixels of the network's input), `scores`,
            `pred_classes` (of the dataset's vocabulary) and, where the detector has any, `tokens`
            (N, d). The input's size is the instances' `image_size`.
        feature_map: (B, C, h, w) last map of the backbone; None = the detector has none.
        feature_mask: (B, h, w) bool, True inside the images.
    """

    instances: list[Instances]
    feature_map: Tensor | None
    feature_mask: Tensor | None

    def map_and_mask(self) -> tuple[Tensor, Tensor]:
        """The feature map and its mask.

        Raises:
            ValueError: the detector has none.
        """
        if self.feature_map is None or self.feature_mask is None:
            raise ValueError("the entity detector gives boxes alone, and here its map is needed")
        return self.feature_map, self.feature_mask


class EntityDetector(nn.Module):
    """The interface, and what all detectors but `Detr` share.

    Attributes:
        token_dim: width of the tokens.
        pixel_mean, pixel_std: buffers, on 0..255.
    """

    token_dim: int
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        *,
        pixel_mean: tuple[float, ...] = (0.0, 0.0, 0.0),
        pixel_std: tuple[float, ...] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    def preprocess(self, batched_inputs: list[dict[str, Any]]) -> tuple[ImageList, Tensor]:
        """Normalises and pads.

        Args:
            batched_inputs: detectron2's; `image` (3, H, W) RGB on 0..255.

        Returns:
            The images, and the mask (B, H, W), True inside them.
        """
        images = [x["image"].to(self.pixel_mean.device).float() for x in batched_inputs]
        images = [self._resized((x - self.pixel_mean) / self.pixel_std) for x in images]
        padded = ImageList.from_tensors(images)
        return padded, mask_of(padded.image_sizes, padded.tensor)

    def _resized(self, image: Tensor) -> Tensor:
        """A normalised (3, H, W) image in the size that the detector wants."""
        return image

    def detect(self, images: ImageList, mask: Tensor) -> Entities:
        """The entities of a batch as `preprocess` gives it."""
        raise NotImplementedError

    def output_shape(self) -> ShapeSpec:
        """Channels and stride of the feature map."""
        raise NotImplementedError

    def encoder(self) -> tuple[nn.Conv2d, nn.ModuleList]:
        """A DETR encoder's projection and layers, as IRE may start from.

        Raises:
            ValueError: the detector has none.
        """
        raise ValueError(
            f"MODEL.RMLR.IRE.START_FROM_DETECTOR: {type(self).__name__} has no encoder that IRE "
            "could start from; set it to False"
        )

    def load_weights(
        self, path: str | os.PathLike, *, sha256: str = "", revision: str = ""
    ) -> None:
        """Fills the detector; see `hoi_d2.checkpoint.detector_weights.load_detector_weights`."""
        raise NotImplementedError


def mask_of(sizes: list[tuple[int, int]], images: Tensor) -> Tensor:
    """(B, H, W) bool, True in the first rows and columns of each (B, C, H, W) image."""
    mask = torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool, device=images.device)
    for row, (height, width) in zip(mask, sizes):
        row[:height, :width] = True
    return mask


def build_entity_detector(cfg: CfgNode) -> EntityDetector:
    """The detector named `cfg.MODEL.ENTITY_DETECTOR.NAME`, frozen and in evaluation mode.

    Raises:
        KeyError: no such name; lists the registered ones.
    """
    node = cfg.MODEL.ENTITY_DETECTOR
    if node.NAME not in ENTITY_DETECTOR_REGISTRY:
        known = ", ".join(sorted(name for name, _ in ENTITY_DETECTOR_REGISTRY))
        raise KeyError(f"MODEL.ENTITY_DETECTOR.NAME {node.NAME!r} is none of {known}")
    detector = ENTITY_DETECTOR_REGISTRY.get(node.NAME)(cfg)
    detector.to(cfg.MODEL.DEVICE).requires_grad_(False)
    if node.CACHE:
        from hoi_d2.modeling.entity_detector.caching import use_cache

        use_cache(detector, node.CACHE, settings=detector_settings(cfg))
    return detector.eval()


def detector_settings(cfg: CfgNode) -> str:
    """Every config value that a detector's output may depend on, as text."""
    node = cfg.MODEL.ENTITY_DETECTOR.clone()
    node.defrost()
    node.CACHE = node.WEIGHTS = ""  # where they lie; the weights themselves are hashed
    pixels = [list(cfg.MODEL.PIXEL_MEAN), list(cfg.MODEL.PIXEL_STD)]
    return f"{node.dump()}{cfg.MODEL.DETR.dump()}{pixels}"
