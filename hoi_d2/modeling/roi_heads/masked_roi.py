"""Masked RoI: the union feature of a pair, from the cells that belong to the human or the object.

RmLR (arXiv 2307.13529), Algorithm 1 step 1(7), says that a masked RoI makes the union features and
no more. Our reading (config `MODEL.RMLR.MASKED_ROI`): RoIAlign on the union box, then the mean over
the bins whose centre lies in the human's or the object's box.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

MASKS = ("human_or_object", "union", "image", "none")


class MaskedRoI(nn.Module):
    """(feature map, box pairs) -> one vector per pair.

    Args:
        mask: "human_or_object"; "union" = every bin of the union box; "image" = the whole map,
            no RoI. ("none" is for the caller: no union vector at all.)
        resolution: bins a side.
        sampling_ratio: samples a bin and side.
        stride: pixels of a cell of the map.
    """

    def __init__(self, *, mask: str, resolution: int, sampling_ratio: int, stride: int) -> None:
        super().__init__()
        if mask not in MASKS:
            raise ValueError(f"MODEL.RMLR.MASKED_ROI.MASK must be one of {MASKS}, got {mask!r}")
        self.mask = mask
        self.resolution = resolution
        self.sampling_ratio = sampling_ratio
        self.stride = stride

    def forward(
        self,
        feature_map: Tensor,
        feature_mask: Tensor,
        image_index: Tensor,
        human_boxes: Tensor,
        object_boxes: Tensor,
    ) -> Tensor:
        """
        Args:
            feature_map: (B, C, h, w).
            feature_mask: (B, h, w) bool, True inside the images.
            image_index: (M,) which image a pair is of.
            human_boxes, object_boxes: (M, 4) XYXY pixels of the network's input.

        Returns:
            (M, C).
        """
        if self.mask == "image":
            return masked_mean(feature_map, feature_mask)[image_index]
        union = union_boxes(human_boxes, object_boxes)
        rois = torch.cat([image_index[:, None].to(union.dtype), union], dim=1)
        bins = roi_align(
            extend_border(feature_map, feature_mask),
            rois.to(feature_map.dtype),
            self.resolution,
            spatial_scale=1 / self.stride,
            sampling_ratio=self.sampling_ratio,
            aligned=True,
        )
        if self.mask == "union":
            return bins.mean(dim=(2, 3))
        inside = bins_inside(union, human_boxes, object_boxes, self.resolution)
        return masked_mean(bins, inside)


def extend_border(feature_map: Tensor, feature_mask: Tensor) -> Tensor:
    """(B, C, h, w) with the padding replaced by the nearest cell inside the image.

    RoIAlign does that at the border of a map; a padded image must give the same numbers.
    """
    height, width = feature_mask.shape[1:]
    device = feature_map.device
    rows, columns = feature_mask.any(dim=2).sum(dim=1), feature_mask.any(dim=1).sum(dim=1)
    y = torch.minimum(torch.arange(height, device=device), rows[:, None] - 1)
    x = torch.minimum(torch.arange(width, device=device), columns[:, None] - 1)
    image = torch.arange(len(feature_map), device=device)[:, None, None]
    return feature_map.permute(0, 2, 3, 1)[image, y[:, :, None], x[:, None]].permute(0, 3, 1, 2)


def union_boxes(a: Tensor, b: Tensor) -> Tensor:
    """(M, 4) smallest boxes around both."""
    return torch.cat([torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:])], dim=1)


def bins_inside(union: Tensor, human: Tensor, object_: Tensor, resolution: int) -> Tensor:
    """(M, resolution, resolution) bool: bin centres inside the human's or the object's box.

    Where no centre is inside either (two far specks), every bin counts.
    """
    steps = (torch.arange(resolution, device=union.device) + 0.5) / resolution
    x = union[:, None, 0] + steps * (union[:, None, 2] - union[:, None, 0])
    y = union[:, None, 1] + steps * (union[:, None, 3] - union[:, None, 1])

    def inside(box: Tensor) -> Tensor:
        columns = (x >= box[:, None, 0]) & (x <= box[:, None, 2])
        rows = (y >= box[:, None, 1]) & (y <= box[:, None, 3])
        return rows[:, :, None] & columns[:, None, :]

    mask = inside(human) | inside(object_)
    return mask | ~mask.flatten(1).any(dim=1)[:, None, None]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of (M, C, h, w) over the cells where (M, h, w) is True: (M, C)."""
    weight = mask.flatten(1).to(x.dtype)
    weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.einsum("mcn,mn->mc", x.flatten(2), weight)
