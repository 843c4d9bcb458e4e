"""Boxes that come from a file or from the annotations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, BoxMode, Instances

from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.modeling.entity_detector.build import build_entity_detector
from tests.checkpoint.small_models import small_config, small_model

NAME, FILE = "MODEL.ENTITY_DETECTOR.NAME", "MODEL.ENTITY_DETECTOR.PRECOMPUTED.FILE"
PRECOMPUTED = (NAME, "PrecomputedEntityDetector")
HICO = ("MODEL.HOI.VOCABULARY", "hico_det")
ROW = {"image_id": 7, "category_id": 90, "bbox": [10, 20, 30, 40], "score": 0.5}


def image(**keys: object) -> dict:
    image = torch.zeros(3, 60, 100, dtype=torch.uint8)
    return {"image": image, "height": 120, "width": 300, "image_id": 7, "file_name": "a", **keys}


def detector_of(content: object, folder: Path):
    path = folder / "boxes.json"
    path.write_text(json.dumps(content))
    return build_entity_detector(small_config(*HICO, *PRECOMPUTED, FILE, str(path)))


def detect(detector, *inputs: dict) -> list[Instances]:
    return detector(list(inputs)).instances


@pytest.mark.parametrize(
    ("content", "classes", "scores"),
    [
        ([{**ROW, "category_id": 12}], [], []),  # an id that COCO does not use
        ([ROW], [79], [0.5]),
        (
            [ROW, {**ROW, "category_id": 1, "score": 0.25}, {**ROW, "image_id": 8}],
            [79, 0],
            [0.5, 0.25],
        ),
        ({"images": [{"id": 7}], "annotations": [], "categories": []}, [], []),
        (
            {
                "images": [{"id": 7}],
                "annotations": [
                    {**ROW, "category_id": 3},
                    {**ROW, "category_id": 3, "iscrowd": 1},
                    {**ROW, "category_id": 4},
                ],
                "categories": [{"id": 3, "name": "Sofa"}, {"id": 4, "name": "unicorn"}],
            },
            [57],
            [0.5],
        ),
    ],
)
def test_files(tmp_path: Path, content: object, classes: list[int], scores: list[float]) -> None:
    (found,) = detect(detector_of(content, tmp_path), image())
    assert found.pred_classes.tolist() == classes and found.scores.tolist() == scores
    assert found.image_size == (60, 100)
    for box in found.pred_boxes.tensor.tolist():  # 300 x 120 on disk, 100 x 60 in the network
        assert box == pytest.approx([10 / 3, 10, 40 / 3, 30])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "a list of COCO results, or an object"),
        ([{"image_id": 7}], r"boxes\.json: row 0: category_id.*(\n.*)*row 0: bbox"),
        ([ROW, {**ROW, "category_id": 400}], "row 1: category_id = 400; .*known category_id"),
        ([{**ROW, "category_id": True}], "row 0: category_id = True"),
        ([{**ROW, "bbox": [1, 2, 3]}], "row 0: bbox"),
        ([{**ROW, "bbox": [1, 2, -30, 40]}], "row 0: bbox .*w >= 0"),
        ([{**ROW, "bbox": [float("nan"), 2, 3, 4]}], "row 0: bbox"),
        ([{**ROW, "bbox": ["1", "2", "3", "4"]}], "row 0: bbox"),
        ([{**ROW, "bbox": [10**400, 2, 3, 4]}], "row 0: bbox"),
        ([{**ROW, "score": "high"}], "row 0: score = 'high'"),
        ([{**ROW, "score": float("nan")}], "row 0: score = nan"),
        ([{**ROW, "score": 1.5}], "row 0: score = 1.5"),
        ([{**ROW, "image_id": [1]}], "row 0: image_id"),
        ([5], r"row\[0\] = 5; expected an object"),
        ({"annotations": [ROW], "categories": [{"id": 1}]}, r"categories\[0\]\.name"),
        ({"annotations": 5, "categories": []}, "annotations = 5; expected a list"),
        ({"annotations": [], "categories": [], "images": [{"id": None}]}, r"images\[0\]\.id"),
    ],
)
def test_files_of_no_known_form(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detector_of(content, tmp_path)


@pytest.mark.parametrize("text", ["", "[", '[{"image_id": 1, "image_id": 2}]', "[" * 10**5, "\xff"])
def test_files_that_are_no_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(DataFormatError, match=r"boxes\.json"):
        build_entity_detector(small_config(*HICO, *PRECOMPUTED, FILE, str(path)))


HOSTILE = [
    *("bool_category", "category_without_name", "huge_int", "nan_box", "negative_width"),
    *("score_nan", "score_text", "text_box", "truncated"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, real_data: Path) -> None:
    path = real_data.parent / f"cases/hostile/precomputed_{name}.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with pytest.raises(DataFormatError, match=path.name):
        build_entity_detector(small_config(*HICO, *PRECOMPUTED, FILE, str(path)))


def test_boxes_in_shares_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    detector_of([{**ROW, "bbox": [0.1, 0.2, 0.3, 0.4]}], tmp_path)
    assert "all boxes lie in 0..1" in caplog.text


def test_an_image_that_is_not_stored(tmp_path: Path) -> None:
    detector = detector_of([ROW], tmp_path)
    with pytest.raises(KeyError, match="nothing of the image 8"):
        detect(detector, image(image_id=8))


def test_stored_boxes_do_not_follow_augmentations(tmp_path: Path) -> None:
    detector = detector_of([ROW], tmp_path)
    annotated = Instances((60, 100), gt_boxes=Boxes(torch.ones(1, 4)), gt_classes=torch.ones(1))
    with pytest.raises(ValueError, match="do not follow the augmentations"):
        detect(detector, image(instances=annotated))


def test_boxes_alone_are_not_enough_for_rmlr(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps([ROW]))
    with pytest.raises(ValueError, match="OracleEntityDetector"):
        small_model(*HICO, *PRECOMPUTED, FILE, str(path), architecture="RmLR")


@pytest.fixture
def annotated_dataset():
    record = {"file_name": "a", "image_id": 7, "height": 120, "width": 300, "annotations": []}
    for label, box in ((0, [30, 20, 90, 100]), (17, [90, 40, 240, 110])):
        entity = {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": label, "iscrowd": 0}
        record["annotations"].append(entity)
    DatasetCatalog.register("test_annotated", lambda: [record])
    yield "test_annotated"
    DatasetCatalog.remove("test_annotated")


def test_the_oracle_has_detrs_weights_and_tokens(annotated_dataset: str) -> None:
    keys = (*HICO, "DATASETS.TEST", (annotated_dataset,), FILE, "ground_truth")
    model = small_model(*keys, NAME, "OracleEntityDetector", architecture="RmLR")
    plain = small_model(*HICO, architecture="RmLR")
    assert list(model.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(model.state_dict())
    entities, queries = (m.entity_detector([image()]) for m in (model, plain))
    (found,) = entities.instances
    assert found.pred_classes.tolist() == [0, 17] and found.scores.tolist() == [1, 1]
    assert found.pred_boxes.tensor[0].tolist() == pytest.approx([10, 10, 30, 50])
    assert torch.equal(entities.feature_map, queries.feature_map)
    for token in found.tokens:  # each is one of the queries'
        assert (queries.instances[0].tokens == token).all(dim=1).any()
    (output,) = model([image()])
    assert len(output["instances"]) == 2


def test_ground_truth_of_training_is_the_augmented_one(annotated_dataset: str) -> None:
    keys = (*HICO, "DATASETS.TRAIN", (annotated_dataset,), FILE, "ground_truth")
    detector = build_entity_detector(small_config(*keys, *PRECOMPUTED))
    boxes, classes = Boxes(torch.tensor([[1.0, 2, 3, 4]])), torch.tensor([5])
    annotated = Instances((60, 100), gt_boxes=boxes, gt_classes=classes)
    (found,) = detect(detector, image(instances=annotated))
    assert found.pred_boxes.tensor.tolist() == [[1, 2, 3, 4]]
    assert found.pred_classes.tolist() == [5]
