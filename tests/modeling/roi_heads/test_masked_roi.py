import pytest
import torch

from hoi_d2.modeling.roi_heads.masked_roi import (
    MaskedRoI,
    bins_inside,
    extend_border,
    masked_mean,
    union_boxes,
)

STRIDE = 8


def pool(mask, feature_map, human, object_, *, resolution=7, sampling_ratio=2):
    roi = MaskedRoI(mask=mask, resolution=resolution, sampling_ratio=sampling_ratio, stride=STRIDE)
    valid = torch.ones(len(feature_map), *feature_map.shape[2:], dtype=torch.bool)
    index = torch.zeros(len(human), dtype=torch.int64)
    return roi(feature_map, valid, index, human, object_)


def ramp(h=12, w=16):
    """Channel 0 is x and channel 1 is y in pixels, at cell centres."""
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    return (torch.stack([x, y]) * STRIDE)[None]


@pytest.mark.parametrize("mask", ["human_or_object", "union", "image"])
def test_no_pairs(mask):
    assert pool(mask, ramp(), torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0, 2)


def test_union_box():
    a, b = torch.tensor([[0.0, 5, 10, 20]]), torch.tensor([[5.0, 0, 30, 10]])
    assert union_boxes(a, b).tolist() == [[0, 0, 30, 20]]


def test_union_of_one_box_is_its_mean():
    box = torch.tensor([[16.0, 16, 72, 72]])
    for mask in ("human_or_object", "union"):
        torch.testing.assert_close(pool(mask, ramp(), box, box), torch.tensor([[44.0, 44.0]]))


def test_bins_between_the_boxes_do_not_count():
    """Human left, object right, a spike between them: the union sees it, the mask does not."""
    feature_map = torch.zeros(1, 1, 12, 16)
    feature_map[..., 6:9] = 100.0
    human, object_ = torch.tensor([[0.0, 16, 32, 80]]), torch.tensor([[90.0, 16, 120, 80]])
    masked = pool("human_or_object", feature_map, human, object_)
    whole = pool("union", feature_map, human, object_)
    assert whole.item() > 10
    assert masked.item() < whole.item() / 3


def literal_bins(union, human, object_, resolution):
    mask = torch.zeros(resolution, resolution, dtype=torch.bool)
    for row in range(resolution):
        for column in range(resolution):
            x = union[0] + (column + 0.5) / resolution * (union[2] - union[0])
            y = union[1] + (row + 0.5) / resolution * (union[3] - union[1])
            mask[row, column] = any(
                b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in (human, object_)
            )
    return mask if mask.any() else torch.ones_like(mask)


def test_bins_against_a_loop():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(40, 2, 2, generator=generator) * 100
    boxes = torch.cat([corners, corners + torch.rand(40, 2, 2, generator=generator) * 40], dim=2)
    human, object_ = boxes[:, 0], boxes[:, 1]
    union = union_boxes(human, object_)
    fast = bins_inside(union, human, object_, 7)
    for row in range(40):
        args = (t[row].tolist() for t in (union, human, object_))
        assert torch.equal(fast[row], literal_bins(*args, 7))


def test_two_specks_fall_back_to_every_bin():
    human, object_ = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[99.0, 99, 100, 100]])
    assert bins_inside(union_boxes(human, object_), human, object_, 7).all()


def test_masked_mean_ignores_what_is_outside():
    x = torch.ones(2, 3, 4, 4)
    x[:, :, 2:] = 1e6
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, :2] = True
    expected = torch.tensor([[1.0], [0.0]]).expand(2, 3)  # nothing inside gives 0, not NaN
    torch.testing.assert_close(masked_mean(x, mask), expected)


def test_the_border_goes_on_into_the_padding():
    feature_map, mask = torch.randn(2, 3, 4, 5), torch.ones(2, 4, 5, dtype=torch.bool)
    mask[1, 3:], mask[1, :, 2:] = False, False
    extended = extend_border(feature_map, mask)
    torch.testing.assert_close(extended[0], feature_map[0])
    inside = feature_map[1:, :, :3, :2]
    expected = torch.nn.functional.pad(inside, (0, 3, 0, 1), mode="replicate")
    torch.testing.assert_close(extended[1:], expected)


def test_an_unknown_mask_is_refused():
    with pytest.raises(ValueError, match="human_or_object"):
        MaskedRoI(mask="circle", resolution=7, sampling_ratio=2, stride=8)
