"""The runner's arrays against the package's tensors: resizing, patches, pairs, scores."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image
from torch.nn import functional as F

pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")

from hoi_d2.data.images import read_image as predictors_image
from hoi_d2.data.transforms import DetrResize
from hoi_d2.data.vocabulary import hico_det_vocabulary
from hoi_d2.export.resizing import stretch, trained_size
from hoi_d2.export.runner import (
    ExportedModel,
    box_patches,
    pair_patches,
    softmax,
)
from hoi_d2.export.runner import (
    read_image as runners_image,
)
from hoi_d2.modeling.image_encoder import patch_masks
from hoi_d2.modeling.meta_arch.defr_det import DEFRDet
from hoi_d2.modeling.roi_heads.pair_generator import PairGenerator


def runner(**settings):
    """A runner without graphs."""
    model = ExportedModel.__new__(ExportedModel)
    model.settings, model.person = settings, 0
    return model


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


SQUARES = [(1, 1, 32), (192, 192, 192), (160, 208, 192), (480, 640, 224), (100, 37, 96)]


@pytest.mark.parametrize("curve", ["bilinear", "bicubic"])
@pytest.mark.parametrize("height, width, side", SQUARES)
def test_squares_are_torchs(height, width, side, curve):
    image = noise(height, width)
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy()).float()[None]
    right = F.interpolate(tensor, (side, side), mode=curve, antialias=True).round().clamp(0, 255)
    square = runner(square=side, resize=curve).square(image)
    assert square.dtype == np.float32 and square.shape == right.shape
    apart = np.abs(square - right.numpy())
    assert apart.max() <= 1 and (apart > 0).mean() < 1e-3  # a few in the middle of two bytes


@pytest.mark.parametrize("height, width, new", [(1, 1, (7, 7)), (160, 208, (256, 332))])
def test_images_are_resized_as_by_pillow(height, width, new):
    image = noise(height, width)
    model = runner(size=new, shorter_side=min(new), longer_side=9999)
    scaled = model.scale(image)
    right = np.asarray(Image.fromarray(image).resize(new[::-1], Image.Resampling.BILINEAR))
    assert scaled.shape == right.shape and scaled.dtype == np.uint8
    apart = np.abs(scaled.astype(int) - right)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.01


def test_stretching_turns_the_image():
    image = noise(5, 8)
    once = stretch(image, 8, curve="bilinear", precision=np.float64)
    np.testing.assert_array_equal(once, image.transpose(1, 0, 2))


@pytest.mark.parametrize("shorter, longer", [(0, 448), (800, 1333), (800, 900), (150, 9999)])
@pytest.mark.parametrize("height, width", [(1, 1), (375, 500), (500, 375), (100, 999)])
def test_sizes_are_detrs(height, width, shorter, longer):
    blank = np.zeros((height, width, 3), np.uint8)
    resized = DetrResize(shorter, longer, "choice").get_transform(blank).apply_image(blank)
    assert trained_size(height, width, shorter, longer) == resized.shape[:2]


BOXES = {
    "none": np.zeros((0, 4)),
    "without area": [[0.5, 0.5, 0.5, 0.5], [0.25, 0.3, 0.25, 0.9], [0.4, 0.4, 0.4, 0.4]],
    "whole": [[0, 0, 1, 1]],
    "on borders": [[0.25, 0.25 + 1e-7, 0.5 - 1e-7, 0.75]],
    "random": np.sort(np.random.default_rng(1).random((40, 2, 2)), axis=1).reshape(-1, 4),
}


@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("grid", [(4, 4), (12, 7)])
def test_patches_are_the_models(name, grid):
    human = np.asarray(BOXES[name], dtype=np.float64).reshape(-1, 4)
    target = human[::-1].copy()
    a, b = torch.from_numpy(human), torch.from_numpy(target)
    np.testing.assert_array_equal(
        box_patches(human, grid), patch_masks.box_patches(a, grid).numpy()
    )
    for mask in patch_masks.MASKS:
        patches = pair_patches(human, target, grid, mask)
        assert patches.shape == (len(human), grid[0] * grid[1]) and patches.dtype == bool
        np.testing.assert_array_equal(
            patches, patch_masks.pair_patches(a, b, grid, mask=mask).numpy()
        )


@pytest.mark.parametrize("number, max_pairs", [(0, 0), (1, 3), (12, 0), (12, 5), (60, 40)])
def test_entities_and_pairs_are_the_generators(number, max_pairs):
    random = np.random.default_rng(number)
    corners = np.sort(random.random((number, 2, 2)) * 100, axis=1)
    boxes = corners.reshape(-1, 4).astype(np.float32)
    boxes[: number // 10, 2:] = boxes[: number // 10, :2]  # without area
    scores, classes = random.random(number).astype(np.float32), random.integers(0, 3, number)
    options = {"nms_threshold": 0.4, "min_instances": 2, "max_instances": 8, "max_pairs": max_pairs}
    generator = PairGenerator(person=0, score_threshold=0.5, **options).eval()
    found = Instances((100, 100), pred_boxes=Boxes(torch.from_numpy(boxes)))
    found.scores, found.pred_classes = torch.from_numpy(scores), torch.from_numpy(classes)
    right = generator([found])
    model = runner(pair_score_threshold=0.5, detector_threshold=0.0, **options)
    rows = model.select(boxes, scores, classes)
    np.testing.assert_array_equal(boxes[rows], right.instances[0].pred_boxes.tensor.numpy())
    human, target = model.pairs(scores[rows], classes[rows])
    np.testing.assert_array_equal(np.stack([human, target], axis=1), right.pair_indices[0].numpy())


def test_detections_below_the_detectors_own_threshold_are_no_entities():
    boxes = np.asarray([[0, 0, 9, 9], [20, 20, 30, 30]], dtype=np.float32)
    scores, classes = np.float32([0.9, 0.3]), np.asarray([0, 1])
    settings = {"nms_threshold": 0.5, "min_instances": 3, "max_instances": 9}
    model = runner(pair_score_threshold=0.5, detector_threshold=0.4, **settings)
    assert model.select(boxes, scores, classes).tolist() == [0]


CLASS_OF = [[0, 1, -1], [-1, 2, 3], [-1, -1, -1]]


@pytest.mark.parametrize("score", ["sigmoid", "softmax"])
@pytest.mark.parametrize("together", [[-1, -1, -1], [4, 5, -1]])
def test_scores_are_defr_dets(score, together):
    """An object with classes for some verbs, and one with none."""
    logits = torch.randn(7, 6, generator=torch.Generator().manual_seed(0)) * 60
    classes = torch.tensor([0, 0, 1, 1, 2, 2, 0])
    model = SimpleNamespace(
        class_of=torch.tensor(CLASS_OF),
        together=torch.tensor(together)[:, None],
        temperature=1.5,
        score=score,
    )
    model.verb_logits = partial(DEFRDet.verb_logits, model)
    pairs = SimpleNamespace(object_classes=classes)
    right = DEFRDet.class_scores(model, logits, pairs).numpy()
    exported = runner(class_of=CLASS_OF, together=together, temperature=1.5, score=score)
    scores = exported.verb_scores(logits.numpy(), classes.numpy())
    np.testing.assert_allclose(scores, right, rtol=1e-5, atol=1e-40)
    assert exported.verb_scores(np.zeros((0, 6)), classes[:0].numpy()).shape == (0, 3)


def test_tiny_scores_keep_their_order():
    """LSE-Sign drives logits far below zero, and ranks count."""
    model = runner(temperature=1.0, score="sigmoid")
    scores = model.verb_scores(np.float32([[-80, -60, -40, -20]]), np.asarray([0]))
    assert (np.diff(scores) > 0).all() and scores[0, 0] > 0


def test_softmax_of_nothing_is_nothing():
    np.testing.assert_array_equal(softmax(np.full((1, 3), -np.inf)), np.zeros((1, 3)))


def test_interactions_are_those_that_are_possible_and_count():
    model = runner(score_threshold=0.2, max_detections=2)
    words = hico_det_vocabulary()
    model.verbs, model.objects = words.verbs, words.objects
    values = np.asarray([[0.0, 0.3, 0.1], [0.9, 0.0, 0.5]])
    boxes = np.arange(12.0).reshape(3, 4)
    arguments = boxes, np.asarray([0, 1, 2]), np.asarray([0, 0]), np.asarray([1, 2])
    rows = model.interactions(values, *arguments)
    assert [(r["score"], r["verb"]) for r in rows] == [(0.9, words.verbs[0]), (0.5, words.verbs[2])]
    assert rows[0]["object_box"] == boxes[2].tolist() and rows[0]["object"] == words.objects[2]
    model.settings["score_threshold"] = 1.0
    assert model.interactions(values, *arguments) == []


def test_images_are_the_predictors_or_refused(real_data, tmp_path):
    """Cut off, turned by a damaged EXIF block, CMYK, LAB: the same pixels, or the same refusal."""
    noise_image = Image.fromarray(noise(40, 60))
    noise_image.convert("CMYK").save(tmp_path / "CMYK.tif")
    Image.frombytes("LAB", (60, 40), noise(40, 60).tobytes()).save(tmp_path / "LAB.tif")
    noise_image.save(tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-300])
    cases = real_data.parent / "cases" / "pictures"
    files = [*tmp_path.iterdir(), *cases.glob("*.[jp][pn]g"), *cases.glob("folder/*")]
    refused = []
    for file in files:
        try:
            right = predictors_image(file)
        except OSError:
            refused.append(file.name)
            with pytest.raises(OSError, match=file.name):
                runners_image(file)
        else:
            np.testing.assert_array_equal(runners_image(file)[:, :, ::-1], right)
    assert "cut.jpg" in refused and len(refused) < len(files)
    with pytest.raises(OSError, match="none"):
        runners_image(tmp_path / "none.jpg")
