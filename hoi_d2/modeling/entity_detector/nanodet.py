"""NanoDet-g as an entity detector: small and fast, and its weights come with the package."""

from __future__ import annotations

import os
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import batched_nms

from hoi_d2.checkpoint.strict import load_strictly
from hoi_d2.checkpoint.weight_files import read_weights
from hoi_d2.modeling.entity_detector.detector_classes import (
    DetectorClasses,
    dataset_objects,
    named_classes,
)
from hoi_d2.modeling.entity_detector.interface import (
    ENTITY_DETECTOR_REGISTRY,
    Entities,
    EntityDetector,
    mask_of,
)
from hoi_d2.modeling.entity_detector.nanodet_network import STRIDES, NanoDetNetwork, NanoDetOutput
from hoi_d2.modeling.entity_detector.same_size import pad_maps

# Red first; the network was trained with these.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


@ENTITY_DETECTOR_REGISTRY.register()
class NanoDetEntityDetector(EntityDetector):
    """Every cell of three maps is a candidate, with its most likely class and its box.

    Images are resized until the longer side is `size`, and padded on the right and at the bottom.
    How much depends on the image alone, so that its result does not depend on its batch.

    Args:
        network: of the three maps' cells.
        classes: what its outputs mean.
        size: longer side of the network's input, a multiple of 32.
        is_square: images are padded to `size` x `size`; else to the next multiples of 32.
        score_threshold: candidates below it are dropped.
        nms_threshold: of two boxes of one class that overlap more, the better one stays.
        max_detections: how many are kept of an image, best first.
        feature_stride: which map of the PAN is the feature map: 8, 16 or 32.

    Raises:
        ValueError: a size, stride or number of classes that cannot be.
    """

    class_map: Tensor

    @configurable
    def __init__(
        self,
        *,
        network: NanoDetNetwork,
        classes: DetectorClasses,
        size: int = 416,
        is_square: bool = False,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.6,
        max_detections: int = 100,
        feature_stride: int = 16,
    ) -> None:
        super().__init__(pixel_mean=PIXEL_MEAN, pixel_std=PIXEL_STD)
        _check(network, classes, size, feature_stride)
        # On a CPU a third faster than the usual order.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.classes, self.size, self.is_square = classes, size, is_square
        self.score_threshold, self.nms_threshold = score_threshold, nms_threshold
        self.max_detections, self.feature_stride = max_detections, feature_stride
        self.token_dim = network.width
        self.register_buffer("class_map", classes.map, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        node = cfg.MODEL.ENTITY_DETECTOR
        return {
            "network": NanoDetNetwork(),
            "classes": named_classes(node.CLASSES or "coco_80", dataset_objects(cfg)),
            "size": node.NANODET.SIZE,
            "is_square": node.NANODET.SQUARE,
            "score_threshold": node.NANODET.SCORE_THRESHOLD,
            "nms_threshold": node.NANODET.NMS_THRESHOLD,
            "max_detections": node.NANODET.MAX_DETECTIONS,
            "feature_stride": node.NANODET.FEATURE_STRIDE,
        }

    def output_shape(self) -> ShapeSpec:
        """Channels and stride of the feature map."""
        return ShapeSpec(channels=self.network.width, stride=self.feature_stride)

    def preprocess(self, batched_inputs: list[dict[str, Any]]) -> tuple[ImageList, Tensor]:
        """Normalises, resizes and pads; see `EntityDetector.preprocess`.

        The images' sizes are those without padding.
        """
        images, _ = super().preprocess(batched_inputs)
        height, width = (
            max(sides) for sides in zip(*(self.padded_size(s) for s in images.image_sizes))
        )
        rows, columns = images.tensor.shape[-2:]
        padded = F.pad(images.tensor, (0, width - columns, 0, height - rows))
        return ImageList(padded, images.image_sizes), mask_of(images.image_sizes, padded)

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """One for all images: `detect` puts those of one shape together itself."""
        return self.size, self.size

    def padded_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that an image of (height, width) after resizing has with its padding."""
        if self.is_square:
            return self.size, self.size
        height, width = (-(-side // STRIDES[-1]) * STRIDES[-1] for side in size)
        return height, width

    def _resized(self, image: Tensor) -> Tensor:
        scale = self.size / max(image.shape[-2:])
        size = [max(1, round(side * scale)) for side in image.shape[-2:]]
        return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]

    @torch.no_grad()
    def detect(self, images: ImageList, mask: Tensor) -> Entities:
        """The candidates that are left after suppression, with the token of their cell."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index, size in enumerate(images.image_sizes):
            groups.setdefault(self.padded_size(size), []).append(index)
        instances: list[Any] = [None] * len(images)
        maps: list[Any] = [None] * len(images)
        for (height, width), indices in groups.items():
            output = self.network(images.tensor[indices][:, :, :height, :width])
            for row, index in enumerate(indices):
                size = images.image_sizes[index]
                instances[index] = self._entities(output, row, size)
                maps[index] = self._map_of(output, row, size)
        return Entities(instances, *pad_maps(maps))

    def candidates(self, images: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Every cell of one image before suppression, as an exported graph gives it.

        Args:
            images: (1, 3, H, W), normalised; 0 where there is padding.
            mask: (1, H, W) bool, True inside the image.

        Returns:
            Boxes (N, 4) XYXY as shares of the image, scores (N,) and classes (N,); tokens (N, d),
            feature map (1, C, h, w) and its mask (1, h, w).
        """
        output = self.network(images)
        extent = torch.stack([mask[0].any(dim=0).sum(), mask[0].any(dim=1).sum()])
        boxes, scores, classes = self._cells(output, 0, extent)
        feature_mask = mask[:, :: self.feature_stride, :: self.feature_stride]
        feature_map = self._feature_map(output) * feature_mask[:, None]
        return (
            boxes / extent.repeat(2),
            scores,
            classes,
            output.tokens[0],
            feature_map,
            feature_mask,
        )

    def load_weights(
        self, path: str | os.PathLike, *, sha256: str = "", revision: str = ""
    ) -> None:
        """From what `tools/convert_weights.py` makes of `nanodet.json`.

        Raises:
            FileNotFoundError: no such file.
            WeightsError: it cannot be read or does not fit; names the keys.
        """
        file = read_weights(path, sha256=sha256, revision=revision)
        load_strictly(self.network, file.weights, source=file.name)

    def _entities(self, output: NanoDetOutput, row: int, size: tuple[int, int]) -> Instances:
        height, width = size
        extent = torch.tensor([width, height], device=output.centres.device)
        boxes, scores, classes = self._cells(output, row, extent)
        kept = scores.ge(self.score_threshold).nonzero().squeeze(1)
        best = batched_nms(boxes[kept], scores[kept], classes[kept], self.nms_threshold)
        kept = kept[best[: self.max_detections]]
        return Instances(
            size,
            pred_boxes=Boxes(boxes[kept]),
            scores=scores[kept],
            pred_classes=classes[kept],
            tokens=output.tokens[row, kept].float(),
        )

    def _cells(
        self, output: NanoDetOutput, row: int, extent: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (N, 4) XYXY pixels inside an image of `extent` (width, height), scores, classes.

        Cells in the padding score 0. Classes that the dataset lacks are not looked at.
        """
        usable = self.class_map.ge(0).nonzero().squeeze(1)
        scores, best = output.logits[row][:, usable].sigmoid().max(dim=1)
        start, end = output.distances[row].split(2, dim=1)
        corners = [output.centres - start, output.centres + end]
        boxes = torch.cat([torch.minimum(c.clamp(min=0), extent) for c in corners], dim=1)
        is_inside = (output.centres < extent).all(dim=1)
        return boxes, scores * is_inside, self.class_map[usable][best]

    def _feature_map(self, output: NanoDetOutput) -> Tensor:
        return output.maps[STRIDES.index(self.feature_stride)].float()

    def _map_of(self, output: NanoDetOutput, row: int, size: tuple[int, int]) -> Tensor:
        """The cells that the image covers."""
        rows, columns = (-(-side // self.feature_stride) for side in size)
        return self._feature_map(output)[row, :, :rows, :columns]


def _check(network: NanoDetNetwork, classes: DetectorClasses, size: int, stride: int) -> None:
    key = "MODEL.ENTITY_DETECTOR"
    if size % STRIDES[-1] or size <= 0:
        raise ValueError(f"{key}.NANODET.SIZE must be a multiple of {STRIDES[-1]}, got {size}")
    if stride not in STRIDES:
        raise ValueError(f"{key}.NANODET.FEATURE_STRIDE must be one of {STRIDES}, got {stride}")
    if len(classes.outputs) != network.num_classes:
        raise ValueError(
            f"{key}.CLASSES names {len(classes.outputs)} outputs, but NanoDet has "
            f"{network.num_classes}; use coco_80"
        )
