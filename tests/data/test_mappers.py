from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform
from PIL import Image

from hoi_d2.config.load import load_config
from hoi_d2.data.classification_mapper import image_labels_of
from hoi_d2.data.images import ImageFileError
from hoi_d2.data.mappers import HOIClassificationMapper, HOIDatasetMapper
from hoi_d2.data.transforms import DetrResize
from hoi_d2.data.vocabulary import hico_det_vocabulary

HEIGHT, WIDTH = 60, 80
VERBS = 117

# Each entity is painted in a colour of its own, so that a box can be looked up in the image.
BOXES = [(5, 10, 25, 50), (30, 5, 50, 20), (60, 35, 75, 55)]
COLORS = [(250, 20, 20), (20, 250, 20), (20, 20, 250)]


@pytest.fixture
def record(tmp_path) -> dict:
    """A person with two verbs on one object, one on another, and one on nothing."""
    image = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)
    for (x0, y0, x1, y1), color in zip(BOXES, COLORS):
        image[y0:y1, x0:x1] = color
    Image.fromarray(image).save(tmp_path / "a.png")
    pairs = [(0, 1, 3, 20), (0, 1, 4, 21), (0, 2, 3, -1), (0, -1, 9, -1)]
    keys = ("human", "object", "verb", "hoi")
    return {
        "file_name": str(tmp_path / "a.png"),
        "image_id": 7,
        "height": HEIGHT,
        "width": WIDTH,
        "annotations": [
            {"bbox": list(map(float, box)), "bbox_mode": 0, "category_id": c, "iscrowd": 0}
            for c, box in enumerate(BOXES)
        ],
        "hoi_annotations": [dict(zip(keys, p)) for p in pairs],
    }


def config(**options) -> CfgNode:
    cfg = load_config("")
    cfg.MODEL.HOI.VOCABULARY = "hico_det"
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (HEIGHT,), 1333
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = "absolute_range", [30, 50]
    cfg.INPUT.CROP.RESIZE_BEFORE = []
    for key, value in options.items():
        cfg.merge_from_list([f"INPUT.{key.replace('__', '.')}", value])
    return cfg


def seed(value: int) -> None:
    np.random.seed(value)
    torch.manual_seed(value)


def test_training_output(record):
    before = copy.deepcopy(record)
    result = HOIDatasetMapper(config(), is_train=True)(record)
    assert record == before
    assert result["image"].shape == (3, HEIGHT, WIDTH)
    assert result["image"].dtype == torch.uint8
    assert result["image"][:, 30, 10].tolist() == list(COLORS[0])  # RGB
    assert (result["height"], result["width"], result["image_id"]) == (HEIGHT, WIDTH, 7)
    assert result["instances"].gt_boxes.tensor.tolist() == [list(b) for b in BOXES]
    assert result["instances"].gt_classes.tolist() == [0, 1, 2]
    hois = result["hoi_instances"]
    assert hois.image_size == result["instances"].image_size == (HEIGHT, WIDTH)
    assert hois.gt_pairs.tolist() == [[0, 1], [0, 2], [0, -1]]
    assert hois.gt_verbs.shape == (3, VERBS)
    assert [row.nonzero().ravel().tolist() for row in hois.gt_verbs] == [[3, 4], [3], [9]]
    assert not {"annotations", "hoi_annotations"} & result.keys()


def test_test_output(record):
    cfg = config(MIN_SIZE_TEST=120, MAX_SIZE_TEST=1333)
    result = HOIDatasetMapper(cfg, is_train=False)(record)
    assert result["image"].shape == (3, 120, 160)
    assert (result["height"], result["width"]) == (HEIGHT, WIDTH)
    assert result.keys() == {"file_name", "image_id", "height", "width", "image"}


@pytest.mark.parametrize("entities", [0, 1])
def test_record_without_pairs(record, entities):
    record["annotations"] = record["annotations"][:entities]
    record["hoi_annotations"] = []
    result = HOIDatasetMapper(config(RANDOM_FLIP="horizontal"), is_train=True)(record)
    assert len(result["instances"]) == entities
    assert result["hoi_instances"].gt_pairs.shape == (0, 2)
    assert result["hoi_instances"].gt_verbs.shape == (0, VERBS)


class Crop(T.Augmentation):
    """Cuts out a given window."""

    def __init__(self, *window: int) -> None:
        super().__init__()
        self.window = window

    def get_transform(self, image: np.ndarray) -> CropTransform:
        return CropTransform(*self.window)


@pytest.mark.parametrize(
    ("window", "boxes", "pairs"),
    [  # x0, y0, width, height of the window
        ((0, 0, 80, 60), 3, [[0, 1], [0, 2], [0, -1]]),
        ((0, 0, 55, 60), 2, [[0, 1], [0, -1]]),  # the last object is gone, and its pair
        ((25, 0, 55, 60), 2, []),  # the human is gone, with every pair; the box edge touches
        ((24, 0, 56, 60), 3, [[0, 1], [0, 2], [0, -1]]),  # a pixel of the human is left
        ((55, 0, 25, 60), 1, []),
        ((52, 0, 6, 6), 0, []),
    ],
)
def test_crop_keeps_boxes_and_pairs_in_step(record, window, boxes, pairs):
    mapper = HOIDatasetMapper(is_train=True, augmentations=[Crop(*window)], num_verbs=VERBS)
    result = mapper(record)
    found = result["instances"].gt_boxes.tensor
    assert len(found) == boxes
    assert result["hoi_instances"].gt_pairs.tolist() == pairs
    for (x0, y0, x1, y1), category in zip(found.tolist(), result["instances"].gt_classes.tolist()):
        assert 0 <= x0 < x1 <= window[2]
        assert 0 <= y0 < y1 <= window[3]
        inside = result["image"][:, int(y0) : int(y1), int(x0) : int(x1)]
        assert (inside == torch.tensor(COLORS[category])[:, None, None]).all()


def test_removed_object_renumbers_the_rest(record):
    """Window without the middle entity: the last object moves up a row."""
    record["annotations"][1]["bbox"] = [30.0, 0.0, 50.0, 4.0]
    mapper = HOIDatasetMapper(is_train=True, augmentations=[Crop(0, 8, 80, 52)], num_verbs=VERBS)
    result = mapper(record)
    assert result["instances"].gt_classes.tolist() == [0, 2]
    assert result["hoi_instances"].gt_pairs.tolist() == [[0, 1], [0, -1]]
    assert [r.nonzero().ravel().tolist() for r in result["hoi_instances"].gt_verbs] == [[3], [9]]


@pytest.mark.parametrize("case", range(40))
def test_boxes_follow_their_images(record, case):
    """Whatever the augmentation: the middle of each box has the colour of its entity."""
    options = {"CROP__ENABLED": True, "CROP__PROBABILITY": 0.7, "RANDOM_FLIP": "horizontal"}
    cfg = config(**options, MIN_SIZE_TRAIN=(48, 77, 130), COLOR_JITTER=[0.1, 0.1, 0.1])
    seed(case)
    result = HOIDatasetMapper(cfg, is_train=True)(record)
    height, width = result["image"].shape[1:]
    pairs = result["hoi_instances"].gt_pairs
    classes = result["instances"].gt_classes
    for box, category in zip(result["instances"].gt_boxes.tensor, classes.tolist()):
        x0, y0, x1, y1 = box.tolist()
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        if min(x1 - x0, y1 - y0) >= 3:
            pixel = result["image"][:, int((y0 + y1) / 2), int((x0 + x1) / 2)]
            assert pixel.argmax() == category
    verbs_of = {0: 3, 1: 3, 2: 3, -1: 9}
    for (human, obj), verbs in zip(pairs.tolist(), result["hoi_instances"].gt_verbs):
        assert classes[human] == 0
        name = -1 if obj < 0 else int(classes[obj])
        assert verbs[verbs_of[name]] == 1
        assert verbs.sum() == (2 if name == 1 else 1)


def test_augmentations_happen(record):
    """Over many draws: both directions, several sizes, crops, other colours."""
    cfg = config(CROP__ENABLED=True, RANDOM_FLIP="horizontal", MIN_SIZE_TRAIN=(40, 60))
    cfg.INPUT.COLOR_JITTER = [0.4, 0.4, 0.4]
    mapper = HOIDatasetMapper(cfg, is_train=True)
    seed(0)
    results = [mapper(record) for _ in range(40)]
    shapes = {tuple(r["image"].shape) for r in results}
    assert len(shapes) > 5
    assert {min(s[1:]) for s in shapes} == {40, 60}
    whole = [r["instances"].gt_boxes.tensor[:2, 0] for r in results if len(r["instances"]) == 3]
    assert {bool(x[0] < x[1]) for x in whole} == {True, False}
    assert min(len(r["instances"]) for r in results) < 3
    assert len({tuple(r["image"].reshape(3, -1)[:, 0].tolist()) for r in results}) > 10


@pytest.mark.parametrize("pair_with_crowd", [False, True])
def test_crowds_stay_only_in_pairs(record, pair_with_crowd):
    record["annotations"][2]["iscrowd"] = 1
    if not pair_with_crowd:
        del record["hoi_annotations"][2]
    result = HOIDatasetMapper(config(), is_train=True)(record)
    assert len(result["instances"]) == (3 if pair_with_crowd else 2)


@pytest.mark.parametrize("change", [{"file_name": "/none.png"}, {"height": 61}])
def test_image_that_is_not_the_annotated_one(record, change):
    with pytest.raises(ImageFileError, match=r"\.png"):
        HOIDatasetMapper(config(), is_train=True)(record | change)


def test_config_is_checked():
    with pytest.raises(ValueError, match=r"RGB"):
        HOIDatasetMapper(config(FORMAT="BGR"), is_train=True)
    with pytest.raises(ValueError, match="horizontal"):
        HOIDatasetMapper(config(RANDOM_FLIP="diagonal"), is_train=True)


def test_resize_antialiases(tmp_path):
    """Pillow's bilinear: a fine checkerboard becomes grey, as in DETR's own transforms."""
    board = (np.indices((200, 200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "b.png")
    cfg = config(MIN_SIZE_TEST=50)
    record = {"file_name": str(tmp_path / "b.png"), "image_id": 1}
    image = HOIDatasetMapper(cfg, is_train=False)(record)["image"].float()
    assert image.std() < 8
    assert abs(image.mean() - 127.5) < 2


def test_classification_mapper(record):
    labels = np.full(600, -2, dtype=np.int8)
    labels[:3] = [1, 0, -1]
    record["image_labels"] = labels
    cfg = config(SQUARE_SIZE=32, COLOR_JITTER=[0.4, 0.4, 0.0])
    test = HOIClassificationMapper(cfg, is_train=False)(record)
    assert test["image"].shape == (3, 32, 32)
    assert test["image_labels"].dtype == torch.int8
    assert test["image_labels"].tolist() == labels.tolist()
    assert test.keys() >= {"file_name", "image_id", "height", "width"}
    # Squashed, not cropped: the blue object at the right bottom corner is still there.
    assert test["image"][:, 24, 27].argmax() == 2
    train = HOIClassificationMapper(cfg, is_train=True)
    seed(0)
    images = [train(record)["image"] for _ in range(8)]
    assert {i.shape for i in images} == {(3, 32, 32)}
    assert len({tuple(i.flatten().tolist()) for i in images}) == 8


@pytest.mark.parametrize("hois", [[], [20], [20, 21, 500]])
def test_labels_from_pairs(hois):
    vocabulary = hico_det_vocabulary()
    pairs = [{"human": 0, "object": 1, "verb": 0, "hoi": h} for h in [*hois, -1]]
    labels = image_labels_of({"hoi_annotations": pairs}, vocabulary)
    objects = {int(vocabulary.hois[h, 0]) for h in hois}
    for hoi, label in enumerate(labels.tolist()):
        known = int(vocabulary.hois[hoi, 0]) in objects
        assert label == (1 if hoi in hois else -1 if known else -2)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((1, 1), 0, (1, 1)),
        ((100, 140), 0, (100, 140)),  # as it is
        ((300, 400), 0, (150, 200)),  # but never more than the longest side
        ((400, 300), 0, (200, 150)),
        ((600, 20000), 0, (6, 200)),
        ((1, 20000), 50, (1, 200)),
        ((20000, 1), 0, (200, 1)),
    ],
)
def test_no_image_is_larger_than_the_longest_side(shape, size, expected):
    image = np.zeros((*shape, 3), dtype=np.uint8)
    assert (
        DetrResize(size, 200, "choice").get_transform(image).apply_image(image).shape[:2]
        == expected
    )
