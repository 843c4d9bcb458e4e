"""The entity detector as a graph: DETR or Conditional DETR at one size of image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hoi_d2.export.graph import Graph
from hoi_d2.modeling.entity_detector.detr import DetrEntityDetector

INPUTS = ("image", "mask")
BOXES = ("boxes", "scores", "classes")
MAP = ("tokens", "feature_map", "feature_mask")


class DetectorModule(nn.Module):
    """Computes each query's box, score and class, and optionally tokens and map, of an image.

    Args:
        detector: of the model.
        with_map: whether tokens, feature map and its mask come out too.
    """

    def __init__(self, detector: DetrEntityDetector, *, with_map: bool) -> None:
        super().__init__()
        self.detector, self.with_map = detector, with_map

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """
        Args:
            image: (1, 3, H, W), normalised; 0 where there is padding.
            mask: (1, H, W) bool, True inside the image.

        Returns:
            (Q, 4) XYXY as shares of the image, (Q,), (Q,); and (Q, d), (1, C, h, w), (1, h, w).
        """
        output = self.detector.network(image, mask)
        [found] = self.detector.detections(output)
        if not self.with_map:
            return found
        return *found, output.tokens[0], output.feature_map, output.feature_mask


def detector_graph(detector: DetrEntityDetector, size: tuple[int, int], *, with_map: bool) -> Graph:
    """The graph "detector" for images of (height, width) `size`, padding included.

    Raises:
        ValueError: the detector's stride does not divide the size.
    """
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


def detector_settings(detector: DetrEntityDetector) -> dict[str, Any]:
    """What a runner has to know of it."""
    return {
        "pixel_mean": detector.pixel_mean.flatten().tolist(),
        "pixel_std": detector.pixel_std.flatten().tolist(),
        "detector_threshold": detector.score_threshold,
    }


def example_image(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """An image with padding, so that the graph holds what padding needs."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, *size, generator=generator)
    mask = torch.ones(1, *size, dtype=torch.bool)
    mask[:, size[0] * 3 // 4 :] = False
    return image * mask[:, None], mask
