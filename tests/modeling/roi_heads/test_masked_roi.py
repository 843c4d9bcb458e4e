import pytest
import torch
from torchvision.ops import roi_align

from hoi_d2.modeling.roi_heads.masked_roi import (
    MaskedRoI,
    bins_inside,
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


def extend_border(feature_map, mask):
    """The padding replaced by the nearest cell inside the image, as RoIAlign does at a border."""
    extended = feature_map.clone()
    for image, inside in enumerate(mask):
        rows, columns = int(inside.any(1).sum()), int(inside.any(0).sum())
        cells = feature_map[image : image + 1, :, :rows, :columns]
        padding = (0, mask.shape[2] - columns, 0, mask.shape[1] - rows)
        extended[image] = torch.nn.functional.pad(cells, padding, mode="replicate")[0]
    return extended


def by_roi_align(roi, feature_map, mask, image_index, human, object_):
    union = union_boxes(human, object_)
    rois = torch.cat([image_index[:, None].float(), union], dim=1)
    bins = roi_align(
        extend_border(feature_map, mask),
        rois,
        roi.resolution,
        spatial_scale=1 / roi.stride,
        sampling_ratio=roi.sampling_ratio,
        aligned=True,
    )
    if roi.mask == "union":
        return bins.mean(dim=(2, 3))
    return masked_mean(bins, bins_inside(union, human, object_, roi.resolution))


@pytest.mark.parametrize("kind", ["human_or_object", "union"])
@pytest.mark.parametrize("counts", [[1, 0], [7, 12], [0, 30]])
@pytest.mark.parametrize("resolution, sampling_ratio", [(7, 2), (3, 1), (14, 3)])
def test_equals_roi_align_and_its_gradient(kind, counts, resolution, sampling_ratio):
    """The second image is padded; boxes reach its border, some are a fraction of a cell."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(2, 9, 13, dtype=torch.bool)
    mask[1, 6:], mask[1, :, 10:] = False, False
    index = torch.repeat_interleave(torch.tensor(counts))
    size = torch.tensor([[13.0, 9.0], [10.0, 6.0]])[index] * STRIDE
    corners = torch.rand(2, len(index), 2, generator=generator) * size
    extent = torch.rand(2, len(index), 2, generator=generator) ** 3 * size
    human, object_ = torch.cat([corners, torch.minimum(corners + extent, size)], dim=2)
    roi = MaskedRoI(mask=kind, resolution=resolution, sampling_ratio=sampling_ratio, stride=STRIDE)
    maps = [torch.randn(2, 5, 9, 13, generator=generator).requires_grad_()]
    maps.append(maps[0].detach().clone().requires_grad_())
    found = roi(maps[0], mask, index, human, object_)
    expected = by_roi_align(roi, maps[1], mask, index, human, object_)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn(found.shape, generator=generator)
    for pooled in (found, expected):
        (pooled * weight).sum().backward()
    torch.testing.assert_close(maps[0].grad, maps[1].grad, rtol=1e-5, atol=1e-5)


def test_padding_changes_no_number():
    box = torch.tensor([[4.0, 6, 90, 70]])
    alone = pool("union", ramp(), box, box)
    padded = torch.nn.functional.pad(ramp(), (0, 5, 0, 3), value=99.0)
    mask = torch.zeros(1, *padded.shape[2:], dtype=torch.bool)
    mask[:, :12, :16] = True
    roi = MaskedRoI(mask="union", resolution=7, sampling_ratio=2, stride=STRIDE)
    torch.testing.assert_close(roi(padded, mask, torch.zeros(1).long(), box, box), alone)


def test_low_precision_maps_are_pooled_in_float32():
    box = torch.tensor([[4.0, 6, 90, 70]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = pool("union", ramp().bfloat16(), box, box)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, pool("union", ramp().bfloat16().float(), box, box))


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="SAMPLING_RATIO"):
        MaskedRoI(mask="union", resolution=7, sampling_ratio=0, stride=8)


def test_an_unknown_mask_is_refused():
    with pytest.raises(ValueError, match="human_or_object"):
        MaskedRoI(mask="circle", resolution=7, sampling_ratio=2, stride=8)
