"""NanoDet as an entity detector: sizes and padding, suppression, DEFR-Det, and a drawn scene."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Instances
from torch import Tensor

from hoi_d2.checkpoint import WeightsError
from hoi_d2.checkpoint.checkpointer import weights_hash
from hoi_d2.modeling.entity_detector.build import build_entity_detector
from hoi_d2.modeling.entity_detector.nanodet import NanoDetEntityDetector
from tests.checkpoint.small_models import small_config
from tests.modeling.image_encoder.small_encoders import CLIP_VIT, VIT
from tests.modeling.tiny import tiny_config

WEIGHTS = "hoi_d2://photo/nanodet_g.safetensors"
NODE = "MODEL.ENTITY_DETECTOR.NANODET"
KEYS = ("MODEL.HOI.VOCABULARY", "hico_det", "MODEL.ENTITY_DETECTOR.NAME", "NanoDetEntityDetector")


def detector(*opts: object, loaded: bool = True) -> NanoDetEntityDetector:
    found = build_entity_detector(small_config(*KEYS, *opts, architecture="RmLR"))
    if loaded:
        found.load_weights(WEIGHTS)
    assert isinstance(found, NanoDetEntityDetector)
    return found


def noise(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.randint(0, 256, (3, height, width), generator=generator).byte()


def stop_sign(height: int, width: int, centre: tuple[int, int], radius: int) -> Tensor:
    """A red octagon with a white rim and white letters on a pole, before a sky."""
    image = np.full((height, width, 3), (170, 200, 235), np.uint8)
    x, y = centre
    cv2.rectangle(image, (x - 5, y), (x + 5, height), (110, 110, 110), -1)
    angles = np.pi / 8 + np.arange(8) * np.pi / 4
    for size, colour in ((radius, (250, 250, 250)), (radius * 9 // 10, (190, 25, 30))):
        corners = np.stack([x + size * np.cos(angles), y + size * np.sin(angles)], axis=1)
        cv2.fillPoly(image, [corners.round().astype(np.int32)], colour)
    scale = radius / 45
    origin = (x - round(radius * 0.75), y + round(radius * 0.22))
    cv2.putText(image, "STOP", origin, cv2.FONT_HERSHEY_SIMPLEX, scale, (250,) * 3, int(4 * scale))
    return torch.from_numpy(image).permute(2, 0, 1)


@torch.no_grad()
def found_in(model: NanoDetEntityDetector, *images: Tensor) -> list[Instances]:
    return model.detect(*model.preprocess([{"image": x} for x in images])).instances


@pytest.mark.parametrize(
    ("size", "resized", "padded"),
    [
        ((1, 1), (416, 416), (416, 416)),
        ((427, 640), (278, 416), (288, 416)),
        ((640, 427), (416, 278), (416, 288)),
        ((100, 200), (208, 416), (224, 416)),
        ((3, 2000), (1, 416), (32, 416)),
    ],
)
@pytest.mark.parametrize("square", [False, True])
def test_sizes(size, resized, padded, square: bool) -> None:
    model = detector(f"{NODE}.SQUARE", square, loaded=False)
    images, mask = model.preprocess([{"image": noise(*size)}])
    assert [tuple(s) for s in images.image_sizes] == [resized]
    assert images.tensor.shape == (1, 3, *((416, 416) if square else padded))
    assert mask.sum() == resized[0] * resized[1] and mask[0, : resized[0], : resized[1]].all()
    assert not images.tensor[~mask[:, None].expand_as(images.tensor)].any()


def test_pixels_are_normalised() -> None:
    model = detector(f"{NODE}.SIZE", 32, loaded=False)
    colour = torch.tensor([200, 100, 50]).byte().view(3, 1, 1).expand(3, 40, 40)
    images, _ = model.preprocess([{"image": colour}])
    expected = [(200 - 123.675) / 58.395, (100 - 116.28) / 57.12, (50 - 103.53) / 57.375]
    for channel, value in zip(images.tensor[0], expected):
        assert channel.flatten().tolist() == pytest.approx([value] * 1024, abs=1e-5)


@pytest.mark.parametrize("square", [False, True])
def test_a_drawn_stop_sign_is_found_where_it_is(square: bool) -> None:
    """In three images of one batch, two of which are padded, and as if each were alone."""
    model = detector(f"{NODE}.SQUARE", square)
    scenes = [((416, 416), (150, 170)), ((300, 600), (420, 140)), ((600, 300), (140, 250))]
    images = [stop_sign(*size, centre, 90) for size, centre in scenes]
    together = found_in(model, *images)
    for image, found, (size, (x, y)) in zip(images, together, scenes):
        [alone] = found_in(model, image)
        assert_same(found, alone)
        best = found[found.scores.argsort(descending=True)][0]
        assert int(best.pred_classes) == 11 and float(best.scores) > 0.5
        scale = max(size) / 416
        right = torch.tensor([x - 83.0, y - 83, x + 83, y + 83]) / scale
        assert (best.pred_boxes.tensor[0] - right).abs().max() < 12


def assert_same(found: Instances, expected: Instances) -> None:
    assert found.image_size == expected.image_size and len(found) == len(expected)
    assert torch.equal(found.pred_classes, expected.pred_classes)
    for a, b in [
        (found.pred_boxes.tensor, expected.pred_boxes.tensor),
        (found.scores, expected.scores),
        (found.tokens, expected.tokens),
    ]:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_what_is_kept() -> None:
    """Against all candidates: above the threshold, one of each class where boxes overlap."""
    image = stop_sign(300, 416, (150, 150), 90)
    keys = (f"{NODE}.SIZE", 128, f"{NODE}.SCORE_THRESHOLD", 0.02, f"{NODE}.NMS_THRESHOLD", 0.4)
    model = detector(*keys)
    images, mask = model.preprocess([{"image": image}])
    height, width = images.image_sizes[0]
    with torch.no_grad():
        boxes, scores, classes, tokens, *_ = model.candidates(images.tensor, mask)
    boxes = boxes * torch.tensor([width, height] * 2)
    kept: list[int] = []
    for row in scores.argsort(descending=True).tolist():
        rivals = [k for k in kept if classes[k] == classes[row]]
        if scores[row] >= 0.02 and all(iou(boxes[row], boxes[k]) <= 0.4 for k in rivals):
            kept.append(row)
    [found] = found_in(model, image)
    assert 3 < len(kept) < 100
    torch.testing.assert_close(found.scores, scores[kept])
    torch.testing.assert_close(found.pred_boxes.tensor, boxes[kept], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.tokens, tokens[kept])
    [few] = found_in(detector(*keys, f"{NODE}.MAX_DETECTIONS", 3), image)
    torch.testing.assert_close(few.scores, scores[kept[:3]])


def iou(a: Tensor, b: Tensor) -> float:
    inner = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
    areas = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()
    return float(inner / (areas - inner))


def test_nothing_is_found_outside() -> None:
    """Boxes stay inside the image; cells of the padding have no score."""
    everything = (f"{NODE}.SCORE_THRESHOLD", 1e-9, f"{NODE}.NMS_THRESHOLD", 1.0)
    keys = (*everything, f"{NODE}.SQUARE", True, f"{NODE}.SIZE", 96)
    [found] = found_in(detector(*keys, f"{NODE}.MAX_DETECTIONS", 9999), noise(30, 96))
    boxes = found.pred_boxes.tensor
    assert found.image_size == (30, 96)
    assert len(found) == 4 * 12 + 2 * 6 + 1 * 3  # cells whose centre is inside
    assert float(boxes.min()) >= 0 and float(boxes[:, 3].max()) <= 30
    assert bool((boxes[:, 2:] > boxes[:, :2]).all())
    [nothing] = found_in(detector(f"{NODE}.SCORE_THRESHOLD", 1.1), noise(30, 96))
    assert len(nothing) == 0 and nothing.tokens.shape == (0, 128)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_feature_map(stride: int) -> None:
    model = detector(f"{NODE}.FEATURE_STRIDE", stride, f"{NODE}.SIZE", 96, loaded=False)
    images, mask = model.preprocess([{"image": noise(96, 40)}, {"image": noise(50, 96)}])
    entities = model.detect(images, mask)
    shape = model.output_shape()
    assert (shape.channels, shape.stride) == (128, stride)
    rows = [(-(-h // stride), -(-w // stride)) for h, w in images.image_sizes]
    features, cells = entities.map_and_mask()
    assert (
        features.shape == (2, 128, *map(max, zip(*rows))) and features.shape[2:] == cells.shape[1:]
    )
    assert [int(m.sum()) for m in cells] == [h * w for h, w in rows]
    assert not features.permute(0, 2, 3, 1)[~cells].any()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (f"{NODE}.SIZE", 400, "SIZE must be a multiple of 32, got 400"),
        (f"{NODE}.SIZE", 0, "SIZE must be a multiple of 32, got 0"),
        (f"{NODE}.FEATURE_STRIDE", 4, "FEATURE_STRIDE must be one of .*, got 4"),
        ("MODEL.ENTITY_DETECTOR.CLASSES", "coco_91", "91 outputs, but NanoDet has 80"),
    ],
)
def test_wrong_keys(key: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detector(key, value, loaded=False)


def test_weights_are_loaded_strictly(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = detector(loaded=False)
    before = weights_hash(model.state_dict())
    weights = {n: t.contiguous() for n, t in model.network.state_dict().items()}
    del weights["heads.1.output.bias"]
    save_file(weights, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing: heads\.1\.output\.bias"):
        model.load_weights(tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match="SHA-256"):
        model.load_weights(WEIGHTS, sha256="01234567")
    assert weights_hash(model.state_dict()) == before
    model.load_weights(WEIGHTS, sha256="c2c19eb6")
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in model.parameters())


def test_defr_det_takes_its_boxes() -> None:
    cfg = tiny_config("DEFR-Det", *KEYS, "MODEL.ENTITY_DETECTOR.WEIGHTS", WEIGHTS)
    cfg.MODEL.CLASSIFIER.INIT, cfg.INPUT.SQUARE_SIZE = "random", 32
    cfg.MODEL.IMAGE_ENCODER.NAME = CLIP_VIT
    cfg.MODEL.IMAGE_ENCODER.OPTIONS = type(cfg)(VIT)
    pairs = cfg.MODEL.DEFR_DET.PAIRS
    pairs.SCORE_THRESHOLD, pairs.MIN_INSTANCES = 0.0, 3
    cfg.merge_from_list([f"{NODE}.SCORE_THRESHOLD", 1e-4, f"{NODE}.SIZE", 128])
    model = build_model(cfg).eval()
    assert "entity_detector" not in model.random_weights()
    images = [stop_sign(200, 300, (100, 100), 60), noise(120, 90)]
    inputs = [{"image": x, "height": 2 * x.shape[1], "width": 2 * x.shape[2]} for x in images]
    outputs = model(inputs)
    for x, output in zip(inputs, outputs):
        assert output["instances"].image_size == (x["height"], x["width"])
        boxes = output["instances"].pred_boxes.tensor
        assert len(boxes) and float(boxes[:, 2].max()) <= x["width"]
    assert 11 in outputs[0]["instances"].pred_classes.tolist()
