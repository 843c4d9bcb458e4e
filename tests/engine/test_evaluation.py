"""Which evaluator a dataset gets, and what metrics.json says."""

import json

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances

from hoi_d2.data.toy.dataset import toy_record
from hoi_d2.engine.evaluation import build_box_evaluator, build_evaluator, report_metrics
from tests import tiny_world as tiny


@pytest.fixture
def boxes_dataset():
    """Toy entities under a name whose metadata names a file that is not COCO's."""
    records = [toy_record("val", index) for index in range(4)]
    for record in records:
        del record["file_name"]
    DatasetCatalog.register("some_boxes_here", lambda: records)
    classes = list(MetadataCatalog.get("toy_hoi_val").thing_classes)
    metadata = MetadataCatalog.get("some_boxes_here")
    metadata.set(thing_classes=classes, json_file="not_coco.json", evaluator_type="hico_det")
    yield records
    DatasetCatalog.remove("some_boxes_here")
    MetadataCatalog.remove("some_boxes_here")


def detections(record: dict, shift: float = 0.0) -> Instances:
    boxes = torch.tensor([entity["bbox"] for entity in record["annotations"]]) + shift
    classes = torch.tensor([entity["category_id"] for entity in record["annotations"]])
    size = record["height"], record["width"]
    scores = torch.ones(len(boxes))
    return Instances(size, pred_boxes=Boxes(boxes), scores=scores, pred_classes=classes)


@pytest.mark.parametrize("shift, low, high", [(0.0, 99.9, 100.0), (500.0, 0.0, 0.0)])
def test_box_ap_of_a_hoi_dataset(boxes_dataset, tmp_path, shift, low, high):
    for _ in range(2):  # a second evaluation makes its ground truth anew
        evaluator = build_box_evaluator("some_boxes_here", str(tmp_path))
    evaluator.reset()
    outputs = [{"instances": detections(record, shift)} for record in boxes_dataset]
    evaluator.process(boxes_dataset, outputs)
    assert low <= evaluator.evaluate()["bbox"]["AP"] <= high


@pytest.mark.parametrize(
    "architecture, dataset, expected",
    [
        ("TinyModel", "tiny_val", "TinyEvaluator"),
        ("RmLR", "toy_hoi_val", "HICODetEvaluator"),
        ("GeneralizedRCNN", "some_boxes_here", "COCOEvaluator"),
        ("Detr", "some_boxes_here", "COCOEvaluator"),
    ],
)
def test_the_evaluator_fits_model_and_dataset(
    boxes_dataset, tmp_path, architecture, dataset, expected
):
    cfg = tiny.tiny_cfg(tmp_path, "MODEL.META_ARCHITECTURE", architecture)
    assert type(build_evaluator(cfg, dataset)).__name__ == expected


def test_a_dataset_that_does_not_say_how_is_named(tmp_path):
    cfg = tiny.tiny_cfg(tmp_path)
    with pytest.raises(ValueError, match=r"dataset nothing: metadata evaluator_type is None"):
        build_evaluator(cfg, "nothing")
    MetadataCatalog.remove("nothing")


@pytest.mark.parametrize(
    "results, parts, expected",
    [
        ({}, [], {}),
        ({"a": {"AP": 1.5, "AP-cat": float("nan")}}, [], {"a/AP": 1.5, "a/AP-cat": None}),
        ({"a": {"AP": 1}}, ["head.", ""], {"a/AP": 1, "random_weights": "head, the whole model"}),
    ],
)
def test_metrics_json_is_flat_and_valid(tmp_path, results, parts, expected):
    report_metrics(str(tmp_path), results, parts)
    text = (tmp_path / "metrics.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == expected
