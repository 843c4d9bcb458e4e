"""Exports the entity detector for one image size: DETR, Conditional DETR or NanoDet."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hoi_d2.export.graph import Graph
from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector
from hoi_d2.modeling.entity_detector.nanodet import NanoDetEntityDetector

ExportableDetector = DetrEntityDetector | NanoDetEntityDetector
DETECTORS = ("DetrEntityDetector", "NanoDetEntityDetector")

INPUTS = ("image", "mask")
BOXES = ("boxes", "scores", "classes")
MAP = ("tokens", "feature_map", "feature_mask")


class DetectorModule(nn.Module):
    """Computes box, score and class of each candidate, and optionally tokens and feature map.

    Args:
        detector: the model's detector; its candidates are DETR's queries or NanoDet's cells.
        with_map: whether to return tokens, feature map and its mask as well.
    """

    def __init__(self, detector: ExportableDetector, *, with_map: bool) -> None:
        super().__init__()
        self.detector, self.with_map = detector, with_map

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Finds the entities of one image.

        Args:
            image: (1, 3, H, W), normalised; 0 where there is padding.
            mask: (1, H, W) bool, True inside the image.

        Returns:
            (Q, 4) XYXY as shares of the image, (Q,), (Q,); and (Q, d), (1, C, h, w), (1, h, w).
        """
        found = self.detector.candidates(image, mask)
        return found if self.with_map else found[: len(BOXES)]


def detector_graph(detector: ExportableDetector, size: tuple[int, int], *, with_map: bool) -> Graph:
    """Returns the graph "detector" for images of (height, width) `size`, including padding.

    Raises:
        ValueError: the size is not divisible by the stride, or is not the detector's fixed size.
    """
    if isinstance(detector, NanoDetEntityDetector) and size != (detector.size, detector.size):
        raise ValueError(
            f"the graph of NanoDet is {detector.size} x {detector.size}, got {size}; another SIZE "
            "is set in MODEL.ENTITY_DETECTOR.NANODET.SIZE"
        )
    stride = detector.output_shape().stride
    if any(side % stride or side <= 0 for side in size):
        raise ValueError(f"height and width must be multiples of {stride}, got {size}")
    return Graph(
        name="detector",
        module=DetectorModule(detector, with_map=with_map),
        inputs=INPUTS,
        outputs=BOXES + MAP if with_map else BOXES,
        example=lambda _: example_image(size),
    )


def detector_settings(detector: ExportableDetector) -> dict[str, Any]:
    """Returns the settings of the detector that the runner needs."""
    settings = {
        "pixel_mean": detector.pixel_mean.flatten().tolist(),
        "pixel_std": detector.pixel_std.flatten().tolist(),
        "detector_threshold": detector.score_threshold,
    }
    if isinstance(detector, NanoDetEntityDetector):
        settings["detector_longer_side"] = detector.size
        settings["detector_nms_threshold"] = detector.nms_threshold
        settings["detector_max"] = detector.max_detections
    return settings


def example_image(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Returns an image with padding, so that tracing records how padding is handled."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, *size, generator=generator)
    mask = torch.ones(1, *size, dtype=torch.bool)
    mask[:, size[0] * 3 // 4 :] = False
    return image * mask[:, None], mask
