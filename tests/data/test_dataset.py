"""Opening datasets: registered names and files of each format."""

import json

import pytest

import hoi_d2  # noqa: F401  registers data sets
from hoi_d2.data import open_dataset
from hoi_d2.data.datasets.records import DataFormatError


def test_registered_datasets():
    toy = open_dataset("toy_hoi_val")
    assert toy.rare_hois and toy.evaluated_hois and toy.evaluator_type == "hico_det"
    with pytest.raises(KeyError, match="Did you mean toy_hoi_val"):
        open_dataset("toy_hoi_va")
    with pytest.raises(ValueError, match="is not an HOI dataset"):
        from detectron2.data import DatasetCatalog

        DatasetCatalog.register("plain_boxes", list)
        try:
            open_dataset("plain_boxes")
        finally:
            DatasetCatalog.remove("plain_boxes")


QPIC = {
    "annotations": [
        {"bbox": [1, 1, 20, 30], "category_id": 1},
        {"bbox": [5, 10, 30, 40], "category_id": 2},
    ]
}


def qpic(file_name, verb):
    pair = {"subject_id": 0, "object_id": 1, "category_id": verb}
    return [{"file_name": file_name, "hoi_annotation": [pair], **QPIC}]


OWN = {
    "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 50}],
    "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "drone"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 30]},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [5, 10, 30, 35]},
    ],
    "verb_categories": [{"id": 1, "name": "fly"}],
    "hoi_annotations": [
        {
            "id": 1,
            "image_id": 1,
            "human_annotation_id": 1,
            "object_annotation_id": 2,
            "verb_id": 1,
        }
    ],
}


@pytest.mark.parametrize(
    ("data", "row", "kind"),
    [
        (qpic("HICO_test2015_00000007.jpg", 37), ("hold", "bicycle"), "hico_det"),
        (qpic("COCO_val2014_000000000007.jpg", 0), ("hold_obj", "bicycle"), "vcoco"),
        (OWN, ("fly", "drone"), "hico_det"),
    ],
)
def test_files_are_recognised(data, row, kind, tmp_path):
    file = tmp_path / "data.json"
    file.write_text(json.dumps(data))
    opened = open_dataset(str(file), "images")
    assert opened.name == "data.json" and opened.evaluator_type == kind
    (pair,) = opened.records[0]["hoi_annotations"]
    thing = opened.records[0]["annotations"][pair["object"]]["category_id"]
    assert (opened.vocabulary.verbs[pair["verb"]], opened.vocabulary.objects[thing]) == row
    assert opened.records[0]["file_name"].startswith("images")
    # the mean over own classes is the metric's: over those that occur
    assert opened.evaluated_hois == ((1,) if data is OWN else None)


def test_neither_name_nor_file():
    with pytest.raises(KeyError, match=r"no dataset is called 'missing\.json'"):
        open_dataset("missing.json")


def test_a_file_without_boxes_has_no_images_to_draw(tmp_path):
    path = tmp_path / "activities.json"
    path.write_text(json.dumps({"activities": [], "images": []}))
    with pytest.raises(DataFormatError, match=r"mpii.*use its registered name"):
        open_dataset(str(path))
