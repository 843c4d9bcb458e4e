"""Numbers of box pairs that do not depend on the image's size, and what surrounds each entity.

RmLR (arXiv 2307.13529) finds that a detector's tokens mostly tell position and class. These are
position and class themselves. All lengths are in widths and heights of the human or of the object,
so the same numbers come out of an image of any size; a mirrored image gives the same numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NUM_GEOMETRY = 57
NUM_RIVALRY = 12
NUM_ENTITY = 4
LIMIT = 6.0
"""Numbers are cut to -LIMIT..LIMIT: beyond that, an object is just far away."""

_TINY = 1e-3  # pixels; a box without width or height is legal
_SMALL = 0.01


def pair_geometry(human: Tensor, object_: Tensor) -> Tensor:
    """The position of an object relative to a human.

    The pair is mirrored where needed, so that the object's centre is never left of the human's.

    Args:
        human, object_: (M, 4) XYXY.

    Returns:
        (M, NUM_GEOMETRY): offset of the centres, plain, absolute and in logarithms, in sizes of
        the human and of the object; ratios of sizes; aspect ratios; IoU and both containments;
        gaps; edges of each box in the other's coordinates; where in the human their intersection
        lies.
    """
    human, object_ = _mirrored(human, object_)
    size_h, size_o = _size(human), _size(object_)
    offset = _center(object_) - _center(human)
    by_human, by_object = offset / size_h, offset / size_o
    low = torch.maximum(human[:, :2], object_[:, :2])
    high = torch.minimum(human[:, 2:], object_[:, 2:])
    inner = (high - low).clamp(min=0)
    area = inner.prod(dim=1, keepdim=True)
    area_h, area_o = size_h.prod(dim=1, keepdim=True), size_o.prod(dim=1, keepdim=True)
    shares = torch.cat([area / (area_h + area_o - area), area / area_h, area / area_o], dim=1)
    touches = (area > 0).to(human.dtype)
    gap = (low - high).clamp(min=0) / size_h
    edges = torch.cat([(o - h) / size_h for o in _corners(object_) for h in _corners(human)], 1)
    own = torch.cat([(h - object_[:, :2]) / size_o for h in _corners(human)], dim=1)
    common = [(low - human[:, :2]) / size_h, (high - human[:, :2]) / size_h]
    common += [inner / size_h, inner / size_o]
    ratio = (size_o / size_h).log()
    numbers = [
        *(by_human, by_human.abs(), _signed_log(by_human), (by_human.abs() + 0.05).log()),
        *(by_object, _signed_log(by_object), by_human.norm(dim=1, keepdim=True)),
        *(ratio, ratio.sum(dim=1, keepdim=True), _aspect(size_h), _aspect(size_o)),
        *(shares, (shares + _SMALL).log(), touches, gap, _signed_log(gap)),
        *(edges, _signed_log(edges), own, torch.cat(common, dim=1) * touches),
    ]
    return torch.cat(numbers, dim=1).clamp(-LIMIT, LIMIT)


def pair_rivalry(
    human_boxes: Tensor, object_boxes: Tensor, rows: Tensor, object_classes: Tensor
) -> Tensor:
    """Compares a pair with the pairs of other humans, and of other objects of its class.

    Args:
        human_boxes, object_boxes: (M, 4) XYXY.
        rows: (M, 2) human and object of each pair, as rows of the batch's entities.
        object_classes: (M,).

    Returns:
        (M, NUM_RIVALRY): how many rivals there are; the best containment and the best nearness of
        a rival, and by how much the pair is ahead of it.
    """
    size_h, size_o = _size(human_boxes), _size(object_boxes)
    low = torch.maximum(human_boxes[:, :2], object_boxes[:, :2])
    high = torch.minimum(human_boxes[:, 2:], object_boxes[:, 2:])
    area = (high - low).clamp(min=0).prod(dim=1)
    in_object, in_human = area / size_o.prod(dim=1), area / size_h.prod(dim=1)
    distance = (_center(object_boxes) - _center(human_boxes)).norm(dim=1) / size_h[:, 1]
    near = -distance.clamp(max=LIMIT)
    by_object = rows[:, 1]
    same_kind = rows[:, 0] * _number(object_classes) + object_classes
    by_kind = same_kind.unique(return_inverse=True)[1]
    numbers = [_rivals(by_object).log1p(), _rivals(by_kind).log1p()]
    for group in (by_object, by_kind):
        best = _best_other(in_object, group, -0.1)
        numbers += [best, in_object - best]
    for group in (by_object, by_kind):
        best = _best_other(near, group, -LIMIT)
        numbers += [best, near - best]
    best = _best_other(in_human, by_kind, -0.1)
    return torch.stack([*numbers, best, in_human - best], dim=1)


def entity_surroundings(
    boxes: Tensor, classes: Tensor, counts: list[int], num_classes: int
) -> tuple[Tensor, Tensor]:
    """The surroundings of each entity.

    Args:
        boxes: (E, 4) XYXY of the batch's entities, image after image.
        classes: (E,).
        counts: entities of each image.
        num_classes: C.

    Returns:
        (E, NUM_ENTITY) aspect ratio, number of entities in the image, and how far the entity's
        lower and upper edge are from the lowest and highest edge in the image, in its heights;
        (E, 3 C) logarithms of how many entities of each class touch it, how much of them is inside
        it, and how many are in the image, itself left out.
    """
    image = image_of(classes, counts)
    number = group_sums(torch.ones_like(image), image, len(counts))
    place = torch.arange(boxes.shape[0], device=boxes.device) - (number.cumsum(0) - number)[image]
    grid = boxes.new_zeros(len(counts), max(counts, default=0), 4)
    grid[image, place] = boxes
    kinds = boxes.new_zeros(*grid.shape[:2], num_classes)
    kinds[image, place, classes] = 1
    low = torch.maximum(grid[:, :, None, :2], grid[:, None, :, :2])
    high = torch.minimum(grid[:, :, None, 2:], grid[:, None, :, 2:])
    area = (high - low).clamp(min=0).prod(dim=-1)
    area = area * (1 - torch.eye(grid.shape[1], device=boxes.device))
    inside = area / _size(grid.flatten(0, 1)).prod(dim=1).view(len(counts), 1, -1)
    around = [(area > 0).to(boxes.dtype) @ kinds, inside @ kinds]
    here = kinds.sum(dim=1)[image]
    here = here.scatter_add(1, classes[:, None], -torch.ones_like(here[:, :1]))
    bags = torch.cat([a[image, place] for a in around] + [here], dim=1).log1p()
    size = _size(boxes)
    # Images without entities keep the infinity, and nobody looks at it.
    nothing = boxes.new_full((len(counts),), torch.inf)
    lowest = (-nothing).scatter_reduce(0, image, boxes[:, 3], "amax")
    highest = nothing.scatter_reduce(0, image, boxes[:, 1], "amin")
    numbers = [
        _aspect(size)[:, 0],
        number[image].to(boxes.dtype).log(),
        (lowest[image] - boxes[:, 3]) / size[:, 1],
        (boxes[:, 1] - highest[image]) / size[:, 1],
    ]
    return torch.stack(numbers, dim=1).clamp(-LIMIT, LIMIT), bags


def group_sums(values: Tensor, group: Tensor, number: int) -> Tensor:
    """(number, ...) sums of (M, ...) values over each of `number` groups, (M,) `group` of each."""
    zeros = values.new_zeros(number, *values.shape[1:])
    if torch.onnx.is_in_onnx_export():  # its index_add keeps one value of each group
        index = group.reshape(-1, *[1] * (values.dim() - 1)).expand_as(values)
        return zeros.scatter_add(0, index, values)
    return zeros.index_add(0, group, values)


def image_of(classes: Tensor, counts: list[int]) -> Tensor:
    """(E,) the image of each entity, given (E,) classes, and how many each image has.

    Of one image without a number in it, so that an exported graph takes any number of entities.
    """
    if len(counts) == 1:
        return torch.zeros_like(classes)
    return torch.repeat_interleave(torch.tensor(counts, device=classes.device))


def _mirrored(human: Tensor, object_: Tensor) -> tuple[Tensor, Tensor]:
    left = (_center(object_)[:, :1] < _center(human)[:, :1]).expand(-1, 4)
    sign = human.new_tensor([-1, 1, -1, 1])
    order = torch.tensor([2, 1, 0, 3], device=human.device)
    return tuple(torch.where(left, b[:, order] * sign, b) for b in (human, object_))  # type: ignore[return-value]


def _center(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _size(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=_TINY)


def _corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return boxes[:, :2], boxes[:, 2:]


def _aspect(size: Tensor) -> Tensor:
    return (size[:, :1] / size[:, 1:]).log()


def _signed_log(x: Tensor) -> Tensor:
    return x.sign() * x.abs().log1p()


def _rivals(group: Tensor) -> Tensor:
    """(M,) how many others are in the group of each."""
    return group_sums(torch.ones_like(group), group, _number(group))[group].float() - 1


def _number(group: Tensor) -> Any:
    """How many groups there are; a number of the graph where one is traced."""
    return group.max() + 1 if len(group) else 1


def _best_other(values: Tensor, group: Tensor, nothing: float) -> Tensor:
    """(M,) the largest value of the others in each one's group; `nothing` where it is alone."""
    floor = values.new_full((_number(group),), nothing)
    best = floor.scatter_reduce(0, group, values, "amax")
    is_best = values == best[group]
    ties = group_sums(is_best.to(values.dtype), group, _number(group))
    others = torch.where(is_best, torch.full_like(values, nothing), values)
    second = floor.scatter_reduce(0, group, others, "amax")
    return torch.where(is_best & (ties[group] < 2), second[group], best[group])
