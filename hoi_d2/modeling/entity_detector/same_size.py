"""Batches for detectors that let padding leak: images of one size go through them together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from detectron2.structures import ImageList
from torch import Tensor


def groups_of_one_size(images: ImageList) -> Iterator[tuple[list[int], Tensor]]:
    """Yields indices into the batch and the images (n, C, H, W) there, without padding."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, size in enumerate(images.image_sizes):
        groups.setdefault(tuple(size), []).append(index)
    for (height, width), indices in groups.items():
        yield indices, images.tensor[indices][:, :, :height, :width]


def pad_maps(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Feature maps (C, h, w) of several sizes -> (B, C, H, W) with zeros, and mask (B, H, W)."""
    height, width = (max(m.shape[axis] for m in maps) for axis in (1, 2))
    padded = maps[0].new_zeros(len(maps), maps[0].shape[0], height, width)
    mask = torch.zeros(len(maps), height, width, dtype=torch.bool, device=padded.device)
    for row, valid, source in zip(padded, mask, maps):
        row[:, : source.shape[1], : source.shape[2]] = source
        valid[: source.shape[1], : source.shape[2]] = True
    return padded, mask
