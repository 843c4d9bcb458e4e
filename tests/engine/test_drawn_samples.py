"""Images that are drawn during training."""

import cv2
import numpy as np
import torch

from tests import tiny_world as tiny
from tests import toy_few
from tests.engine.test_launch import train_here


def test_images_of_annotations_beside_predictions(tmp_path):
    cfg = toy_few.few_cfg("OUTPUT_DIR", str(tmp_path), "VIS_PERIOD", 2)
    cfg.SOLVER.EMA.ENABLED = True
    train_here(cfg)
    files = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert [name[:12] for name in files] == ["iter_0000002"] * 4 + ["iter_0000004"] * 4
    image = cv2.imread(str(tmp_path / "images" / files[0]))
    height, width = toy_few.load("val")[0]["height"], toy_few.load("val")[0]["width"]
    assert image.shape[1] % (2 * width) == 0 and image.shape[0] >= height
    left, right = np.split(image, 2, axis=1)
    assert (left != right).any()


def test_drawing_does_not_change_the_training(tmp_path):
    options = ("SOLVER.MAX_ITER", 2, "DATASETS.TEST", ())
    train_here(toy_few.few_cfg("OUTPUT_DIR", str(tmp_path / "a"), *options))
    options = ("SOLVER.MAX_ITER", 2, "VIS_PERIOD", 1)
    train_here(toy_few.few_cfg("OUTPUT_DIR", str(tmp_path / "b"), *options))
    first, second = (
        torch.load(tmp_path / name / "model_final.pth", weights_only=True)["model"]
        for name in ("a", "b")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_dataset_without_interactions_draws_nothing(tmp_path):
    train_here(tiny.tiny_cfg(tmp_path, "VIS_PERIOD", 1))
    assert not (tmp_path / "images").exists()
