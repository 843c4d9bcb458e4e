import math

import pytest
import torch

from hoi_d2.modeling.roi_heads.box_pair_encoding import (
    NUM_FEATURES,
    BoxPairEncoding,
    box_pair_features,
)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_shapes(count):
    boxes = torch.tensor([[10.0, 10, 30, 50]]).repeat(count, 1)
    sizes = torch.tensor([[100, 200]]).repeat(count, 1)
    assert box_pair_features(boxes, boxes, sizes).shape == (count, NUM_FEATURES)
    encoding = BoxPairEncoding(token_dim=8)
    assert encoding(torch.randn(count, 8), boxes, boxes, sizes).shape == (count, 8)


def test_numbers_by_hand():
    human, object_ = torch.tensor([[0.0, 0, 20, 40]]), torch.tensor([[10.0, 20, 50, 40]])
    numbers = box_pair_features(human, object_, torch.tensor([[100, 200]]))[0, :18].tolist()
    expected = [
        *(0.05, 0.2, 0.1, 0.4, 0.04),  # human: centre, size, area as shares
        *(0.15, 0.3, 0.2, 0.2, 0.04),  # object
        1.0,  # area of the object over the human's
        *(0.5, 2.0),  # aspect ratios
        200 / (800 + 800 - 200),  # IoU
        *(1.0, 0.0, 0.25, 0.0),  # object is right of and below the human
    ]
    assert numbers == pytest.approx(expected, abs=1e-6)


def test_logarithms_follow():
    boxes = torch.tensor([[5.0, 5, 25, 35]])
    features = box_pair_features(boxes, boxes, torch.tensor([[50, 50]]))[0]
    assert features[18].item() == pytest.approx(math.log(0.3 + 1e-8))
    assert torch.isfinite(features).all()


def test_boxes_without_an_area_are_finite():
    """Both a point, at the same place: the union of their areas is 0."""
    point = torch.tensor([[5.0, 5, 5, 5]])
    assert torch.isfinite(box_pair_features(point, point, torch.tensor([[50, 50]]))).all()
