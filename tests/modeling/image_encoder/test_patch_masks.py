import math

import pytest
import torch

from hoi_d2.modeling.image_encoder.patch_masks import MASKS, box_patches, hidden_bias, pair_patches

ROWS, COLUMNS = 4, 6


def slow_patches(box):
    """Patches that share an area with the box: floor and ceil in units of patches."""
    x1, y1, x2, y2 = (float(v) * s for v, s in zip(box, (COLUMNS, ROWS, COLUMNS, ROWS)))
    open_ = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    for row in range(max(math.floor(y1), 0), min(math.ceil(y2), ROWS)):
        for column in range(max(math.floor(x1), 0), min(math.ceil(x2), COLUMNS)):
            open_[row, column] = True
    return open_.flatten()


BOXES = [
    [0, 0, 1, 1],  # everything
    [0.1, 0.1, 0.2, 0.2],
    [1 / 6, 0.25, 0.5, 0.75],  # along the borders of patches
    [0.4, 0.6, 0.41, 0.61],  # smaller than a patch
    [-0.2, -0.1, 1.3, 0.1],  # beyond the image
    [0.5, 0.5, 0.5, 0.5],  # empty, on a border
    [1, 1, 1, 1],
]


def test_no_boxes():
    assert box_patches(torch.zeros(0, 4), (ROWS, COLUMNS)).shape == (0, ROWS * COLUMNS)
    for mask in MASKS:
        none = torch.zeros(0, 4)
        assert pair_patches(none, none, (ROWS, COLUMNS), mask=mask).shape == (0, 24)


@pytest.mark.parametrize("box", BOXES)
def test_a_box_opens_what_it_touches(box):
    exact = torch.tensor([box], dtype=torch.float64)
    assert torch.equal(box_patches(exact, (ROWS, COLUMNS))[0], slow_patches(exact[0]))


def test_many_boxes():
    corners = torch.rand(200, 2, 2, generator=torch.Generator().manual_seed(0))
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
    right = torch.stack([slow_patches(box) for box in boxes])
    assert torch.equal(box_patches(boxes, (ROWS, COLUMNS)), right)


@pytest.mark.parametrize("side", [480, 500, 640, 799])
def test_a_border_of_patches_is_no_matter_of_rounding(side):
    """Pixels of the image through float32 shares: patch n ends exactly where n + 1 begins."""
    edges = torch.arange(42 + 1) * (side / 42)
    boxes = torch.stack([edges[:-1], edges[:-1], edges[1:], edges[1:]], dim=1)
    shares = boxes.float() / side
    assert (box_patches(shares, (42, 42)).sum(dim=1) == 1).all()


def test_masks_of_a_pair():
    human, object_ = torch.tensor([[0.0, 0, 1 / 6, 0.25]]), torch.tensor([[0.5, 0.5, 0.6, 0.7]])
    either, union, image, released = (
        pair_patches(human, object_, (ROWS, COLUMNS), mask=mask)[0].view(ROWS, COLUMNS)
        for mask in MASKS
    )
    assert either.nonzero().tolist() == [[0, 0], [2, 3]]
    assert union.sum() == 3 * 4 and union[:3, :4].all()
    assert image.all() and torch.equal(released, either)
    assert [hidden_bias(mask) for mask in MASKS] == [-torch.inf] * 3 + [1.0]
    with pytest.raises(ValueError, match="human_or_object, union, image"):
        pair_patches(human, object_, (ROWS, COLUMNS), mask="both")
