"""Places labels greedily, each at the cheapest free place of the image.

The image is a coarse grid of costs (high for faces and small objects, low for bodies, zero for the
background). The cost of a position of a label is a window sum over that grid, from an integral
image, plus the distance to the box that it names. One label takes a few array operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FACE, OBJECT, BODY, LINE = 20.0, 3.0, 0.5, 1.5
"""Costs of a label that completely covers the obstacle."""
_CELLS_PER_LABEL_HEIGHT = 4
_HEIGHTS_PER_DISTANCE_UNIT = 4.0
_FOCUS_SHARE = 0.15


@dataclass(frozen=True, eq=False)
class Obstacle:
    """A box (XYXY, canvas pixels) that labels should not cover, and the cost of covering it."""

    box: np.ndarray
    cost: float


@dataclass(frozen=True, eq=False)
class LabelRequest:
    """A label to be placed.

    Args:
        size: (width, height) in canvas pixels, including the margin.
        short_size: size of the short form that replaces it if there is no space; None = no short
            form.
        target: (4,) XYXY of the box that it names, which it should touch or be close to.
        focus: (2,) the point that it should be close to, at equal cost.
    """

    size: tuple[int, int]
    short_size: tuple[int, int] | None
    target: np.ndarray
    focus: np.ndarray


@dataclass(frozen=True)
class Place:
    """Upper left corner in canvas pixels; `short` if only the short form fits."""

    x: int
    y: int
    short: bool = False


def head_region(box: np.ndarray) -> np.ndarray:
    """Estimates the region of a person's face from a box of the whole or the upper body.

    A head is about half as high as the shoulders are wide: for a standing person that is the top
    fifth of the box, for a portrait up to its upper half.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    depth = min(0.5 * height, max(0.2 * height, 0.5 * width))
    margin = 0.15 * width
    return np.array([box[0] + margin, box[1], box[2] - margin, box[1] + depth])


class _CostGrid:
    """Obstacles and used places on cells of `cell` pixels."""

    def __init__(self, *, canvas_size: tuple[int, int], cell: int) -> None:
        height, width = canvas_size
        self.cell = cell
        self.costs = np.zeros((height // cell, width // cell))
        self.taken = np.zeros(self.costs.shape)

    def add(self, grid: np.ndarray, box: np.ndarray, value: float) -> None:
        """Sets every cell that the box touches to at least `value`."""
        rows, columns = grid.shape
        low = np.clip(np.floor(box[:2] / self.cell), 0, (columns, rows)).astype(int)
        high = np.clip(np.ceil(box[2:] / self.cell), 0, (columns, rows)).astype(int)
        part = grid[low[1] : high[1], low[0] : high[0]]
        np.maximum(part, value, out=part)

    def window_sums(self, grid: np.ndarray, rows: int, columns: int) -> np.ndarray:
        """Returns the sum under a label of rows x columns cells at every position."""
        table = np.zeros((grid.shape[0] + 1, grid.shape[1] + 1))
        np.cumsum(np.cumsum(grid, axis=0), axis=1, out=table[1:, 1:])
        total = table[rows:, columns:] - table[:-rows, columns:]
        return total - (table[rows:, :-columns] - table[:-rows, :-columns])


def place_labels(
    requests: Sequence[LabelRequest],
    *,
    canvas_size: tuple[int, int],
    obstacles: Sequence[Obstacle],
    max_cost: float = 5.0,
) -> list[Place | None]:
    """Places labels, in the order given.

    Args:
        requests: the labels.
        canvas_size: (height, width).
        obstacles: regions to keep free; where two overlap, the higher cost counts.
        max_cost: a label with a short form is shortened if every place costs more.

    Returns:
        One place per request, None if there is no space. Placed labels do not overlap and are
        inside the canvas.
    """
    if not requests:
        return []
    cell = max(1, min(r.size[1] for r in requests) // _CELLS_PER_LABEL_HEIGHT)
    grid = _CostGrid(canvas_size=canvas_size, cell=cell)
    for obstacle in obstacles:
        grid.add(grid.costs, obstacle.box, obstacle.cost)
    return [_place(grid, request, max_cost) for request in requests]


def _place(grid: _CostGrid, request: LabelRequest, max_cost: float) -> Place | None:
    if request.short_size is None:
        corner = _cheapest(grid, request, request.size, np.inf)
        return Place(*corner) if corner else None
    corner = _cheapest(grid, request, request.size, max_cost)
    if corner:
        return Place(*corner)
    corner = _cheapest(grid, request, request.short_size, np.inf)
    return Place(*corner, short=True) if corner else None


def _cheapest(
    grid: _CostGrid, request: LabelRequest, size: tuple[int, int], max_cost: float
) -> tuple[int, int] | None:
    """Reserves the cheapest free place for `size`, if there is one below `max_cost`."""
    columns, rows = (-(-side // grid.cell) for side in size)
    if rows > grid.costs.shape[0] or columns > grid.costs.shape[1]:
        return None
    cost = grid.window_sums(grid.costs, rows, columns) / (rows * columns)
    cost += _distance_cost(grid, request, size, cost.shape)
    cost[grid.window_sums(grid.taken, rows, columns) > 0.5] = np.inf
    y, x = (int(i) for i in np.unravel_index(int(np.argmin(cost)), cost.shape))
    if not cost[y, x] < max_cost:
        return None
    grid.taken[y : y + rows, x : x + columns] = 1
    return x * grid.cell, y * grid.cell


def _distance_cost(
    grid: _CostGrid, request: LabelRequest, size: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Returns the distance to the target's box, plus a fraction of the distance to the focus."""
    x = np.arange(shape[1])[None, :] * grid.cell
    y = np.arange(shape[0])[:, None] * grid.cell
    left, top, right, bottom = request.target
    dx = np.maximum(np.maximum(x - right, left - x - size[0]), 0)
    dy = np.maximum(np.maximum(y - bottom, top - y - size[1]), 0)
    focus_x = x + size[0] / 2 - request.focus[0]
    focus_y = y + size[1] / 2 - request.focus[1]
    unit = _HEIGHTS_PER_DISTANCE_UNIT * request.size[1]
    return (np.hypot(dx, dy) + _FOCUS_SHARE * np.hypot(focus_x, focus_y)) / unit
