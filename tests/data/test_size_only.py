"""Targets of an image that is not read equal those of the same augmentation of the real image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from PIL import Image

from hoi_d2.config.load import load_config
from hoi_d2.data.mappers import HOIDatasetMapper
from hoi_d2.data.size_only import SizeOnlyInput, size_after
from hoi_d2.utils.rng import sample_rng

SIZES = [(1, 1), (37, 53), (60, 40)]
CROP = {"CROP.ENABLED": True, "CROP.TYPE": "absolute_range", "CROP.SIZE": [20, 30]}
CASES: list[dict] = [
    {"RANDOM_FLIP": "none", "MIN_SIZE_TRAIN": (0,)},  # nothing at all
    {},
    {"COLOR_JITTER": [0.4, 0.4, 0.4], "MIN_SIZE_TRAIN": (30, 41, 64), **CROP},
    {"MIN_SIZE_TRAIN": (30, 64), "MIN_SIZE_TRAIN_SAMPLING": "range", "MAX_SIZE_TRAIN": 70},
    {"CROP.PROBABILITY": 1.0, **CROP, "CROP.RESIZE_BEFORE": [35, 50]},
]


def config(options: dict) -> CfgNode:
    cfg = load_config("", ["MODEL.HOI.VOCABULARY", "hico_det"])
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.CROP.RESIZE_BEFORE = (50,), []
    for key, value in options.items():
        cfg.merge_from_list([f"INPUT.{key}", value])
    return cfg


def record(folder, height: int, width: int) -> dict:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    boxes = [(0, 0, width, height), (0, 0, width / 3, height / 2), (width / 2, 0, width, height)]
    return {
        "file_name": str(folder / "a.png"),
        "image_id": 1,
        **{"height": height, "width": width},
        "annotations": [{"bbox": list(b), "bbox_mode": 0, "category_id": 0} for b in boxes],
        "hoi_annotations": [{"human": 0, "object": o, "verb": 5, "hoi": -1} for o in (1, 2)],
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", CASES)
def test_targets_equal_those_of_the_image(tmp_path, options, size):
    mapper = HOIDatasetMapper(config(options), is_train=True)
    item = record(tmp_path, *size)
    for number in range(8):
        with sample_rng(7, number):
            expected = mapper(item)
        with sample_rng(7, number):
            found = mapper.without_image(item)
        assert tuple(expected.pop("image").shape[1:]) == found["instances"].image_size
        assert found.keys() == expected.keys()
        for name in ("height", "width", "image_id", "file_name"):
            assert found[name] == expected[name]
        boxes = found["instances"].gt_boxes.tensor
        assert torch.equal(boxes, expected["instances"].gt_boxes.tensor)
        for name in ("gt_pairs", "gt_verbs"):
            assert torch.equal(
                found["hoi_instances"].get(name), expected["hoi_instances"].get(name)
            )


@pytest.mark.parametrize(
    "transform",
    [
        T.NoOpTransform(),
        T.HFlipTransform(20),
        T.ResizeTransform(30, 20, 15, 44),
        T.CropTransform(2, 3, 5, 6),
        T.CropTransform(2, 3, 100, 100),  # beyond the image
    ],
)
def test_size_after_a_transform(transform):
    image = np.zeros((30, 20, 3), dtype=np.uint8)
    assert size_after(transform, 30, 20) == transform.apply_image(image).shape[:2]


def test_a_transform_of_unknown_kind_is_applied():
    image = SizeOnlyInput(30, 20)
    T.AugmentationList([T.RandomRotation([90, 90])])(image)
    assert image.image.shape == (20, 30, 3)
    assert image.image.base.nbytes <= 3  # no memory
