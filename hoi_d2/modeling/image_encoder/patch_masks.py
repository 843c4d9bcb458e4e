"""Boxes -> the patches that a query may see."""

from __future__ import annotations

import torch
from torch import Tensor

from hoi_d2.modeling.roi_heads.masked_roi import union_boxes

MASKS = ("human_or_object", "union", "image", "as_released")


def pair_patches(
    human_boxes: Tensor, object_boxes: Tensor, grid: tuple[int, int], *, mask: str
) -> Tensor:
    """The patches of each human-object pair.

    Args:
        human_boxes, object_boxes: (M, 4) XYXY as shares of the image, 0..1.
        grid: rows and columns of patches.
        mask: "human_or_object": patches that either box touches (DEFR-Det); "union": those of the
            rectangle around both; "image": all; "as_released": as "human_or_object", see
            `hidden_bias`.

    Returns:
        (M, rows * columns) bool.

    Raises:
        ValueError: no such mask.
    """
    if mask in ("human_or_object", "as_released"):
        return box_patches(human_boxes, grid) | box_patches(object_boxes, grid)
    if mask == "union":
        return box_patches(union_boxes(human_boxes, object_boxes), grid)
    if mask == "image":
        shape = len(human_boxes), grid[0] * grid[1]
        return torch.ones(shape, dtype=torch.bool, device=human_boxes.device)
    raise ValueError(f"MODEL.DEFR_DET.MASK must be one of {', '.join(MASKS)}, got {mask!r}")


def hidden_bias(mask: str) -> float:
    """What is added to the attention logits of hidden patches.

    -inf hides them (DEFR, equation 5). The released code turns its boolean mask into numbers, which
    adds 1: hidden patches are favoured a little. Its published figures were made so.
    """
    return 1.0 if mask == "as_released" else -torch.inf


def box_patches(boxes: Tensor, grid: tuple[int, int]) -> Tensor:
    """The patches that overlap each box (M, 4), as (M, rows * columns) bool.

    These are rows floor(y1) to ceil(y2) - 1, and the same for columns, in units of patches.
    """
    rows, columns = grid
    # A side on the border of a patch must not include the next one because of a rounding error.
    edges = boxes.double() * boxes.new_tensor([columns, rows] * 2, dtype=torch.float64)
    edges = torch.where((edges - edges.round()).abs() < 1e-4, edges.round(), edges)
    x1, y1 = edges[:, :2].floor().unbind(dim=1)
    x2, y2 = edges[:, 2:].ceil().unbind(dim=1)
    row = torch.arange(rows, device=boxes.device)
    column = torch.arange(columns, device=boxes.device)
    in_rows = (row >= y1[:, None]) & (row < y2[:, None])
    in_columns = (column >= x1[:, None]) & (column < x2[:, None])
    return (in_rows[:, :, None] & in_columns[:, None]).flatten(1)
