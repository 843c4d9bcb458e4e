import json

import pytest
from drawing_cases import BICYCLE, HOLD, RIDE, entity, hoi

from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.visualization.pages.browse import (
    Dataset,
    choose,
    filter_rows,
    hoi_of_entry,
    index_of,
    open_dataset,
    registered_dataset,
    select_records,
)


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({}, [1, 2, 3]),
        ({"verb": "hold"}, [1, 2]),
        ({"verb": "ride"}, [1]),
        ({"object_name": "sports ball"}, [2]),
        ({"object_name": "sports_ball"}, [2]),
        ({"verb": "ride", "object_name": "sports ball"}, []),
        ({"rare": True}, [1]),
        ({"rare": True, "verb": "ride"}, []),  # the rare interaction is another one
        ({"num": 0}, []),
        ({"num": 2}, [1, 3]),
        ({"num": 9}, [1, 2, 3]),
    ],
)
def test_select_records(wanted, ids, dataset):
    assert [r["image_id"] for r in select_records(dataset, **wanted)] == ids


@pytest.mark.parametrize(
    ("there", "num", "ids"),
    [
        ([], 0, []),
        ([], 2, [1, 4]),  # none is there: drawing will say so
        ([2, 3], 4, [1, 2, 3, 4]),  # nothing is cut, so nothing is left out
        ([2, 3], 3, [2, 3]),
        ([2, 3], 1, [2]),
        ([1, 2, 4], 2, [1, 4]),
    ],
)
def test_images_that_are_there_are_chosen(there, num, ids, tmp_path):
    for number in there:
        (tmp_path / f"{number}.jpg").touch()
    records = [{"image_id": i, "file_name": str(tmp_path / f"{i}.jpg")} for i in range(1, 5)]
    assert [r["image_id"] for r in choose(records, num)] == ids


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"verb": "rode"}, "no verb is called 'rode'; did you mean ride"),
        ({"object_name": "tricycle"}, "no object is called 'tricycle'; did you mean bicycle"),
        ({"verb": "xyz"}, "there is ride, hold, hug"),
    ],
)
def test_unknown_names_get_help(wanted, message, dataset):
    with pytest.raises(ValueError, match=message):
        select_records(dataset, **wanted)


def test_rare_without_a_list(dataset, vocabulary):
    with pytest.raises(ValueError, match="no list of rare"):
        select_records(Dataset("x", dataset.records, vocabulary), rare=True)


def test_index_of():
    assert index_of("sit on", ["ride", "sit_on"], "verb") == 1


@pytest.mark.parametrize(
    ("entry", "expected"),
    [(hoi(0, 1, RIDE, 3), 3), (hoi(0, 1, HOLD), 1), (hoi(0, -1, RIDE), -1), (hoi(0, 0, RIDE), -1)],
)
def test_hoi_of_entry(entry, expected, dataset, vocabulary):
    assert hoi_of_entry(dataset.records[0], entry, vocabulary) == expected


def test_filter_rows(dataset):
    assert [filter_rows(r, dataset) for r in dataset.records] == [
        [("ride", "bicycle", ""), ("hold", "bicycle", "rare")],
        [("hold", "sports ball", "")],
        [],
    ]


def test_image_level_labels_filter_as_well(vocabulary):
    record = {"image_labels": [1, 0, -1, 1], "annotations": [], "hoi_annotations": []}
    as_hico = Dataset("x", [record], vocabulary, rare_hois=frozenset({3}))
    assert filter_rows(record, as_hico) == [("ride", "bicycle", ""), ("hug", "person", "rare")]


def test_registered_datasets():
    toy = registered_dataset("toy_hoi_val")
    assert toy.rare_hois and toy.evaluated_hois and toy.evaluator_type == "hico_det"
    with pytest.raises(KeyError, match="did you mean toy_hoi_val"):
        registered_dataset("toy_hoi_va")
    with pytest.raises(ValueError, match="is no HOI dataset"):
        from detectron2.data import DatasetCatalog

        DatasetCatalog.register("plain_boxes", list)
        try:
            registered_dataset("plain_boxes")
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
    assert filter_rows(opened.records[0], opened)[0][:2] == row
    assert opened.records[0]["file_name"].startswith("images")
    # the mean over own classes is the metric's: over those that occur
    assert opened.evaluated_hois == ((1,) if data is OWN else None)


def test_neither_name_nor_file():
    with pytest.raises(KeyError, match=r"no dataset is called 'missing\.json'"):
        open_dataset("missing.json")


def test_a_ghost_entity_is_not_needed(vocabulary):
    record = {"annotations": [entity([0, 0, 1, 1], BICYCLE)]}  # no hoi_annotations at all
    assert filter_rows(record, Dataset("x", [record], vocabulary)) == []


def test_a_file_without_boxes_has_no_images_to_draw(tmp_path):
    path = tmp_path / "activities.json"
    path.write_text(json.dumps({"activities": [], "images": []}))
    with pytest.raises(DataFormatError, match=r"mpii.*use its registered name"):
        open_dataset(str(path))
