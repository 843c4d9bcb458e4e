"""What DETR is given is what its published transforms give, to the last bit of the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as F

from hoi_d2.config.load import load_config
from hoi_d2.data.transforms import detection_augmentations, detr_size
from tests.checkpoint.small_models import small_model

CONFIG = Path(__file__).parents[2] / "configs/Detr/R50.yaml"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (800, 1066)),  # detectron2: 1067
        ((640, 480), (1066, 800)),
        ((375, 500), (800, 1066)),
        ((800, 900), (800, 900)),
        ((300, 1000), (400, 1333)),
        ((333, 1000), (444, 1333)),
        ((1, 1000), (1, 1000)),
        ((500, 500), (800, 800)),
    ],
)
def test_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert detr_size(*size, 800, 1333) == expected


@pytest.mark.parametrize("size", [(100, 133), (375, 500), (901, 1207), (1500, 400)])
def test_an_image_becomes_what_detr_makes_of_it(size: tuple[int, int]) -> None:
    """Short side 800, long at most 1333, Pillow's bilinear filter, mean and deviation on 0..1."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    cfg = load_config("")
    cfg.merge_from_file(str(CONFIG))
    (resize,) = detection_augmentations(cfg, is_train=False)
    resized = resize.get_transform(pixels).apply_image(pixels)
    image = torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))
    found, mask = small_model().preprocess([{"image": image}])
    assert bool(mask.all())

    published = F.resize(Image.fromarray(pixels), list(detr_size(*size, 800, 1333)))
    assert np.array_equal(resized, np.asarray(published))
    expected = F.normalize(F.to_tensor(published), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(found.tensor[0], expected, rtol=0, atol=1e-5)
