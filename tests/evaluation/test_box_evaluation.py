"""Box AP of the entity detector, from dataset dicts."""

from __future__ import annotations

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances

from hoi_d2.evaluation.box_evaluation import (
    EntityBoxEvaluator,
    coco_ground_truth,
    distinct_entities,
)

MAN, NEARLY, CUP = [10.0, 10.0, 40.0, 80.0], [11.0, 10.0, 40.0, 82.0], [50.0, 50.0, 90.0, 95.0]


def entity(box: list[float], category: int) -> dict:
    return {"bbox": box, "bbox_mode": 0, "category_id": category, "iscrowd": 0}


@pytest.fixture
def dataset(request):
    name = f"box_test_{request.node.name}"
    record = {"file_name": "1.jpg", "image_id": 1, "height": 100, "width": 100}
    dicts = [record | {"annotations": [entity(MAN, 0), entity(NEARLY, 0), entity(CUP, 1)]}]
    DatasetCatalog.register(name, lambda: dicts)
    # a json_file that is not COCO's must not be taken for the ground truth
    MetadataCatalog.get(name).set(thing_classes=["person", "cup"], json_file="no such file")
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


@pytest.mark.parametrize("merge_iou, person_ap", [(None, 50.495), (0.5, 100.0)])
def test_ap(dataset, merge_iou, person_ap):
    evaluator = EntityBoxEvaluator(dataset, merge_iou=merge_iou)
    evaluator.reset()
    instances = Instances((100, 100))
    instances.pred_boxes = Boxes(torch.tensor([MAN, CUP]))
    instances.scores = torch.tensor([0.9, 0.8])
    instances.pred_classes = torch.tensor([0, 1])
    evaluator.process([{"image_id": 1}], [{"instances": instances}])
    metrics = evaluator.evaluate()["bbox"]
    assert metrics["AP-cup"] == pytest.approx(100)
    assert metrics["AP-person"] == pytest.approx(person_ap, abs=0.01)
    assert metrics["AP"] == pytest.approx((100 + person_ap) / 2, abs=0.01)


@pytest.mark.parametrize(
    "entities, kept",
    [
        ([], []),
        ([entity(MAN, 0), entity(NEARLY, 0)], [0]),
        ([entity(MAN, 0), entity(NEARLY, 1), entity(CUP, 0)], [0, 1, 2]),
    ],
)
def test_distinct_entities(entities, kept):
    assert distinct_entities(entities, 0.5) == kept


def test_coco_form():
    record = {"file_name": "1.jpg", "image_id": 7, "annotations": [entity(CUP, 1)]}
    truth = coco_ground_truth([record], ["person", "cup"])
    assert truth["images"] == [{"id": 7, "file_name": "1.jpg"}]
    assert truth["annotations"][0]["bbox"] == [50, 50, 40, 45]
    assert truth["annotations"][0]["id"] == 1 and truth["annotations"][0]["area"] == 1800
    assert [c["name"] for c in truth["categories"]] == ["person", "cup"]
