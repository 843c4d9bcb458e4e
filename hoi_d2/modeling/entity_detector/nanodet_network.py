"""NanoDet-g's network: a CSP backbone, a PAN of one width and a small head for each level.

Source: https://github.com/RangiLyu/nanodet, configuration `nanodet-g`. Batch norms are folded into
the convolutions, so that each has a bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
SLOPE = 0.1  # of every LeakyReLU


@dataclass
class NanoDetOutput:
    """The output of the network for a batch; levels are concatenated, finest first.

    Attributes:
        logits: (B, N, classes), one row for each cell.
        distances: (B, N, 4) from the cell's centre to left, top, right and bottom, in pixels.
        centres: (N, 2) x and y of the cells, in pixels.
        maps: three maps (B, C, h, w) of the PAN, of strides 8, 16 and 32.
        tokens: (B, N, C), what the last convolution of the head reads at each cell.
    """

    logits: Tensor
    distances: Tensor
    centres: Tensor
    maps: list[Tensor]
    tokens: Tensor


class NanoDetNetwork(nn.Module):
    """Images (B, 3, H, W), normalised, red first -> class logits and distances of every cell.

    Args:
        num_classes: outputs of the classifier.
        stem_width: channels of the first convolution.
        widths: channels of the four stages.
        blocks: how many blocks each stage has.
        pan_width: channels of the PAN and of the heads.
        num_bins: numbers for each distance, which is at most `num_bins - 1` cells.
    """

    bins: Tensor

    def __init__(
        self,
        *,
        num_classes: int = 80,
        stem_width: int = 32,
        widths: Sequence[int] = (64, 128, 256, 512),
        blocks: Sequence[int] = (1, 2, 2, 3),
        pan_width: int = 128,
        num_bins: int = 11,
    ) -> None:
        super().__init__()
        self.num_classes, self.num_bins, self.width = num_classes, num_bins, pan_width
        self.backbone = Backbone(stem_width, widths, blocks)
        self.pan = PAN(widths[1:], pan_width)
        outputs = num_classes + 4 * num_bins
        self.heads = nn.ModuleList(Head(pan_width, outputs) for _ in STRIDES)
        self.register_buffer("bins", torch.arange(num_bins).float(), persistent=False)

    def forward(self, images: Tensor) -> NanoDetOutput:
        """Computes class scores and boxes of all cells.

        Args:
            images: (B, 3, H, W); 32 divides H and W.

        Raises:
            ValueError: it does not.
        """
        if any(side % STRIDES[-1] for side in images.shape[-2:]):
            raise ValueError(
                f"height and width must be multiples of {STRIDES[-1]}, got {images.shape[-2:]}"
            )
        maps = self.pan(self.backbone(images))
        cells = [head(level) for head, level in zip(self.heads, maps)]
        outputs = torch.cat([_rows(output) for output, _ in cells], dim=1)
        logits, bins = outputs.float().split([self.num_classes, 4 * self.num_bins], dim=2)
        sizes = [(level.shape[-2], level.shape[-1]) for level in maps]
        return NanoDetOutput(
            logits=logits,
            distances=self.expected_distances(bins) * cell_strides(sizes, images.device)[:, None],
            centres=cell_centres(sizes, images.device),
            maps=maps,
            tokens=torch.cat([_rows(token) for _, token in cells], dim=1),
        )

    def expected_distances(self, bins: Tensor) -> Tensor:
        """(B, N, 4 * bins) logits over whole cells -> (B, N, 4) expected distances, in cells."""
        chances = bins.unflatten(2, (4, self.num_bins)).softmax(dim=3)
        return chances @ self.bins


class Backbone(nn.Module):
    """A convolution and a pooling of stride 2, and four stages; the last three come out."""

    def __init__(self, stem_width: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = Conv(3, stem_width, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.ModuleList(
            CSPStage(entering, width, number, stride=1 if stage == 0 else 2)
            for stage, ((entering, width), number) in enumerate(
                zip(pairwise((stem_width, *widths)), blocks)
            )
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> maps of strides 8, 16 and 32."""
        x, maps = self.pool(self.stem(images)), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


class CSPStage(nn.Module):
    """Half of the output is a chain of blocks, the other half what entered it."""

    def __init__(self, entering: int, width: int, blocks: int, *, stride: int) -> None:
        super().__init__()
        half = width // 2
        self.down = Conv(entering, half, stride=stride)
        self.blocks = nn.Sequential(*(Block(half) for _ in range(blocks)))
        self.merge = Conv(half, half)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return torch.cat([self.merge(self.blocks(x)), x], dim=1)


class Block(nn.Module):
    """Two convolutions of half the width, whose outputs are put together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Conv(width, width // 2)
        self.second = Conv(width // 2, width // 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return torch.cat([self.second(x), x], dim=1)


class PAN(nn.Module):
    """Path aggregation without convolutions of its own: resize and add, down and up again."""

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in widths)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Three maps, finest first -> three maps of one width."""
        fine, middle, coarse = (lateral(x) for lateral, x in zip(self.laterals, maps))
        middle = middle + _resized_like(coarse, middle)
        fine = fine + _resized_like(middle, fine)
        middle = middle + _resized_like(fine, middle)
        coarse = coarse + _resized_like(middle, coarse)
        return [fine, middle, coarse]


class Head(nn.Module):
    """One level's map -> class logits and distances of each cell, and its token."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.conv = Conv(width, width)
        self.output = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        token = self.conv(x)
        return self.output(token), token


class Conv(nn.Sequential):
    """3x3 convolution with bias, LeakyReLU."""

    def __init__(self, entering: int, width: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(entering, width, 3, stride=stride, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
        )


def cell_centres(sizes: list[tuple[int, int]], device: torch.device) -> Tensor:
    """(N, 2) x and y of the centres of all cells, in pixels; `sizes` are rows and columns."""
    centres = []
    for stride, (rows, columns) in zip(STRIDES, sizes):
        y = (torch.arange(rows, device=device) + 0.5) * stride
        x = (torch.arange(columns, device=device) + 0.5) * stride
        centres.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2).flatten(0, 1))
    return torch.cat(centres)


def cell_strides(sizes: list[tuple[int, int]], device: torch.device) -> Tensor:
    """(N,) pixels that each cell is wide."""
    counts = [rows * columns for rows, columns in sizes]
    return torch.cat([torch.full((n,), float(s), device=device) for n, s in zip(counts, STRIDES)])


def _rows(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h * w, C)."""
    return x.flatten(2).transpose(1, 2)


def _resized_like(x: Tensor, other: Tensor) -> Tensor:
    return F.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=False)
