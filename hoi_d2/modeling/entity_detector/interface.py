"""The interface that all entity detectors share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.structures import ImageList, Instances
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from hoi_d2.modeling.batches import worthwhile_batches
from hoi_d2.modeling.entity_detector.same_size import pad_maps

ENTITY_DETECTOR_REGISTRY = Registry("ENTITY_DETECTOR")
ENTITY_DETECTOR_REGISTRY.__doc__ = """
Detectors that find the entities of RmLR's pairs. Called with `(cfg)`; see `EntityDetector`.
"""


@dataclass
class Entities:
    """The output of an entity detector for a batch.

    Attributes:
        instances: for each image `pred_boxes` (XYXY pixels of the network's input), `scores`,
            `pred_classes` (of the dataset's vocabulary) and, where the detector has any, `tokens`
            (N, d). The input's size is the instances' `image_size`.
        feature_map: (B, C, h, w) last map of the backbone; None = the detector has none.
        feature_mask: (B, h, w) bool, True inside the images.
        images: the normalised and padded images that the detector looked at; None = not known.
    """

    instances: list[Instances]
    feature_map: Tensor | None
    feature_mask: Tensor | None
    images: ImageList | None = None

    def map_and_mask(self) -> tuple[Tensor, Tensor]:
        """The feature map and its mask.

        Raises:
            ValueError: the detector has none.
        """
        if self.feature_map is None or self.feature_mask is None:
            raise ValueError("the entity detector gives boxes alone, and here its map is needed")
        return self.feature_map, self.feature_mask


class EntityDetector(nn.Module):
    """`detector(batched_inputs)` gives the `Entities` of a batch.

    A detector implements `detect`; one that needs more of its inputs than the images implements
    `forward` instead.

    Args:
        pixel_mean, pixel_std: of the channels, on 0..255.

    Attributes:
        token_dim: width of the tokens.
        is_random: it has weights, and no file has filled them.
        stand_in: the file that should have filled them and is not there, and what to do; "" = none.
    """

    token_dim: int
    pixel_mean: Tensor
    pixel_std: Tensor
    is_random = False
    stand_in: str = ""

    def __init__(
        self,
        *,
        pixel_mean: Sequence[float] = (0.0, 0.0, 0.0),
        pixel_std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @property
    def device(self) -> torch.device:
        """The device of the images."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Entities:
        """The entities of a batch.

        Args:
            batched_inputs: detectron2's; `image` (3, H, W) RGB on 0..255.
        """
        batches = [list(range(len(batched_inputs)))]
        if not torch.is_grad_enabled():
            batches = worthwhile_batches(batched_inputs, self.device, self.network_size)
        parts = []
        for indices in batches:
            images, mask = self.preprocess([batched_inputs[i] for i in indices])
            parts.append(self.detect(images, mask))
            parts[-1].images = images
        return parts[0] if len(parts) == 1 else in_one_batch(parts, batches)

    def preprocess(self, batched_inputs: list[dict[str, Any]]) -> tuple[ImageList, Tensor]:
        """Normalises and pads.

        Args:
            batched_inputs: detectron2's; `image` (3, H, W) RGB on 0..255.

        Returns:
            The images, and the mask (B, H, W), True inside them.
        """
        images = [x["image"].to(self.device, non_blocking=True).float() for x in batched_inputs]
        # Resized first: a photograph has more pixels than the detector wants to see.
        images = [(self._resized(x) - self.pixel_mean) / self.pixel_std for x in images]
        padded = ImageList.from_tensors(images)
        return padded, mask_of(padded.image_sizes, padded.tensor)

    def _resized(self, image: Tensor) -> Tensor:
        """A (3, H, W) image in the size that the detector wants."""
        return image

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what the network sees of an image; images of one size need no padding.

        Args:
            height, width: of `image` in the model input.
        """
        return height, width

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
        """Fills the detector from a weight file.

        Args:
            path: file, directory or hub id.
            sha256, revision: see `read_weights`.

        Raises:
            FileNotFoundError: no such file.
            WeightsError: it cannot be read, or keys are missing, unexpected or of another shape.
        """
        raise NotImplementedError


def single_images(entities: Entities) -> list[tuple[Instances, Tensor]]:
    """Instances of each image of a batch, and its map (C, h, w) without the batch's padding.

    Raises:
        ValueError: there is no map.
    """
    maps, masks = entities.map_and_mask()
    sizes = [(int(mask.any(1).sum()), int(mask.any(0).sum())) for mask in masks]
    return [
        (found, feature_map[:, :rows, :columns])
        for found, feature_map, (rows, columns) in zip(entities.instances, maps, sizes)
    ]


def in_one_batch(parts: Sequence[Entities], batches: Sequence[Sequence[int]]) -> Entities:
    """The entities of several batches as those of one.

    Args:
        parts: with a feature map or all without, and with `images`.
        batches: for each part the places of its images in the batch.
    """
    order = [i for indices in batches for i in indices]
    places = sorted(range(len(order)), key=order.__getitem__)
    instances = [found for part in parts for found in part.instances]
    pixels = [image for part in parts if part.images for image in part.images]
    images = ImageList.from_tensors([pixels[i] for i in places])
    maps: tuple[Tensor | None, Tensor | None] = (None, None)
    if parts[0].feature_map is not None:
        single = [feature_map for part in parts for _, feature_map in single_images(part)]
        maps = pad_maps([single[i] for i in places])
    return Entities([instances[i] for i in places], *maps, images)


def mask_of(sizes: list[tuple[int, int]], images: Tensor) -> Tensor:
    """(B, H, W) bool, True in the first rows and columns of each (B, C, H, W) image."""
    mask = torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool, device=images.device)
    for row, (height, width) in zip(mask, sizes):
        row[:height, :width] = True
    return mask
