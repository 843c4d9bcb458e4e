"""Which images go through a model together, and that it does not show in the results."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hoi_d2.modeling import batches
from hoi_d2.modeling.batches import forward_in_batches, worthwhile_batches
from tests.checkpoint.small_models import small_model

CPU, GPU = torch.device("cpu"), torch.device("cuda")
A, B, LARGE = (60, 80), (80, 60), (800, 1066)


def inputs(sizes: list[tuple[int, int]]) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, *s), generator=generator).byte() for s in sizes]
    return [
        {"image": x, "height": s[0], "width": s[1], "image_id": i}
        for i, (x, s) in enumerate(zip(images, sizes))
    ]


@pytest.mark.parametrize(
    "sizes, device, expected",
    [
        ([], CPU, []),
        ([A], CPU, [[0]]),
        ([A, A, A], CPU, [[0, 1, 2]]),
        ([A, B, A, B], CPU, [[0, 2], [1, 3]]),
        ([LARGE, LARGE, A], CPU, [[0], [1], [2]]),
        ([(512, 512)] * 5, CPU, [[0, 1], [2, 3], [4]]),
        ([LARGE, LARGE, A], GPU, [[0, 1, 2]]),
    ],
)
def test_small_images_of_one_size_go_together(sizes, device, expected):
    assert worthwhile_batches(inputs(sizes), device) == expected


def test_the_size_is_that_of_the_network():
    found = worthwhile_batches(inputs([LARGE, A, B]), CPU, lambda h, w: (416, 416))
    assert found == [[0, 1, 2]]


def test_inputs_without_pixels_stay_together():
    assert worthwhile_batches([{"file_name": "a"}, *inputs([A])], CPU) == [[0, 1]]


class Numbers(nn.Module):
    """Gives the image id of each input, and remembers the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, batched_inputs: list[dict]) -> list[int]:
        self.seen.append(len(batched_inputs))
        return [x["image_id"] for x in batched_inputs]


def test_outputs_are_in_the_order_of_the_inputs():
    model = Numbers()
    assert forward_in_batches(model, []) == [] == model.seen
    assert forward_in_batches(model, inputs([A, LARGE, B, A, LARGE])) == [0, 1, 2, 3, 4]
    assert model.seen == [2, 1, 1, 1]


@pytest.mark.parametrize("gradient", [False, True])
def test_a_detector_splits_its_batch_and_gives_one(monkeypatch, gradient):
    """As in the training of a head, whose frozen detector gets images of many sizes."""
    torch.manual_seed(0)
    model = small_model("MODEL.HOI.VOCABULARY", "hico_det", architecture="RmLR")
    detector, given = model.entity_detector, inputs([A, B, A, (96, 64)])
    with torch.set_grad_enabled(gradient):
        found = detector(given)
    monkeypatch.setattr(batches, "PIXELS_AT_ONCE", 1)
    with torch.no_grad():
        single = [detector([x]) for x in given]
        again = detector(given)
    for other in (found, again):
        assert other.feature_map.shape[0] == len(given) == len(other.images)
        assert other.images.image_sizes == [tuple(x["image"].shape[1:]) for x in given]
        assert other.images.tensor.shape == found.images.tensor.shape
        for row, alone in enumerate(single):
            assert other.instances[row].image_size == alone.instances[0].image_size
            boxes = [e.pred_boxes.tensor for e in (other.instances[row], alone.instances[0])]
            torch.testing.assert_close(*boxes, rtol=1e-4, atol=1e-3)
            rows, columns = alone.feature_map.shape[-2:]
            inside = other.feature_map[row, :, :rows, :columns]
            torch.testing.assert_close(inside, alone.feature_map[0], rtol=1e-4, atol=1e-4)
            assert other.feature_mask[row].sum() == rows * columns
