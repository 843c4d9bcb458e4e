from __future__ import annotations

import copy

import pytest

from hoi_d2.data.datasets.hoi_json import load_hoi_json, occurring_hois, read_vocabulary
from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.data.vocabulary import coco_objects


def document() -> dict:
    """A person holds a mug and a second person; a third image has nothing."""
    return {
        "images": [
            {"id": 10, "file_name": "a.jpg", "width": 100, "height": 80},
            {"id": 20, "file_name": "b.jpg"},
            {"id": 30, "file_name": "c.jpg", "width": 100, "height": 80},
        ],
        "categories": [{"id": 9, "name": "mug"}, {"id": 4, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 4, "bbox": [1, 2, 30, 40]},
            {"id": 2, "image_id": 10, "category_id": 9, "bbox": [20.5, 30, 10, 10]},
            {"id": 3, "image_id": 10, "category_id": 4, "bbox": [50, 2, 30, 40]},
            {"id": 4, "image_id": 20, "category_id": 4, "bbox": [0, 0, 5, 5]},
        ],
        "verb_categories": [{"id": 1, "name": "wave"}, {"id": 0, "name": "hold"}],
        "hoi_annotations": [
            {
                "id": 1,
                "image_id": 10,
                "human_annotation_id": 1,
                "object_annotation_id": 2,
                "verb_id": 0,
            },
            {"image_id": 10, "human_annotation_id": 1, "object_annotation_id": 3, "verb_id": 0},
            {"image_id": 20, "human_annotation_id": 4, "object_annotation_id": None, "verb_id": 1},
        ],
    }


def test_empty_document(write_json):
    data = {key: [] for key in document()} | {"categories": [{"id": 1, "name": "person"}]}
    assert load_hoi_json(write_json(data)) == []
    assert read_vocabulary(write_json(data)).valid_verbs.sum() == 0


def test_everything_legal_loads(write_json):
    file = write_json(document())
    records = load_hoi_json(file, "root")
    vocabulary = read_vocabulary(file)
    assert vocabulary.objects == ("person", "mug")  # ascending id
    assert vocabulary.verbs == vocabulary.verbs_ing == ("hold", "wave")
    assert [(r["file_name"], r["image_id"]) for r in records] == [
        ("root/a.jpg", 10),
        ("root/b.jpg", 20),
        ("root/c.jpg", 30),
    ]
    assert (records[0]["width"], records[0]["height"]) == (100, 80)
    assert "width" not in records[1]
    assert [e["bbox"] for e in records[0]["annotations"]] == [
        [1, 2, 31, 42],
        [20.5, 30, 30.5, 40],
        [50, 2, 80, 42],
    ]
    assert [e["category_id"] for e in records[0]["annotations"]] == [0, 1, 0]
    found = [(p["human"], p["object"], p["verb"]) for r in records for p in r["hoi_annotations"]]
    assert found == [(0, 1, 0), (0, 2, 0), (0, -1, 1)]
    names = [vocabulary.hoi_name(h) for h in occurring_hois(records)]
    assert names == ["hold person", "hold mug"]
    assert [p["hoi"] for p in records[1]["hoi_annotations"]] == [-1]
    assert records[2]["annotations"] == []


def test_hoi_classes_do_not_depend_on_what_occurs(write_json):
    """So that a training and a validation file number them alike."""
    data = document()
    full = read_vocabulary(write_json(data))
    data["hoi_annotations"] = []
    assert (read_vocabulary(write_json(data, "val.json")).hois == full.hois).all()
    assert len(full.hois) == 4
    assert full.valid_verbs.all()


def test_names_of_coco_get_its_numbers(write_json):
    """So that a detector trained on COCO fits."""
    data = document()
    data["categories"][0]["name"] = "wine_glass"
    file = write_json(data)
    vocabulary = read_vocabulary(file)
    assert vocabulary.objects == coco_objects()
    glass = coco_objects().index("wine glass")
    assert [e["category_id"] for e in load_hoi_json(file)[0]["annotations"]] == [0, glass, 0]
    assert vocabulary.hois.tolist() == [[0, 0], [0, 1], [glass, 0], [glass, 1]]
    assert vocabulary.valid_verbs.sum() == 4
    data["categories"].append({"id": 11, "name": "wine glass"})
    with pytest.raises(DataFormatError, match="underscores are no difference to 'wine_glass'"):
        read_vocabulary(write_json(data))


def test_hoi_categories_narrow_the_classes(write_json):
    data = document()
    data["hoi_categories"] = [
        {"id": 8, "category_id": 4, "verb_id": 0},
        {"id": 7, "category_id": 9, "verb_id": 0},
    ]
    data["verb_categories"][1]["name_ing"] = "holding"
    file = write_json(data)
    vocabulary = read_vocabulary(file)
    assert [vocabulary.hoi_name(h) for h in range(2)] == ["hold mug", "hold person"]
    assert vocabulary.verbs_ing == ("holding", "wave")
    assert [p["hoi"] for p in load_hoi_json(file)[0]["hoi_annotations"]] == [0, 1]
    del data["hoi_categories"][0]
    with pytest.raises(DataFormatError, match=r"hoi_annotations\[1\].*hold person"):
        load_hoi_json(write_json(data, "b.json"))


BROKEN = [
    ("images", 0, {"id": "10"}, "images[0]: id"),
    ("images", 1, {"id": 10}, "images[1]: id"),
    ("images", 1, {"file_name": "a.jpg"}, "images[1]: file_name"),
    ("images", 0, {"width": -1}, "images[0]: width, height"),
    ("categories", 1, {"name": "human"}, "'person'"),
    ("categories", 0, {"name": "person"}, "categories[1]: name"),
    ("verb_categories", 0, {"name": 3}, "verb_categories[0]: name"),
    ("annotations", 1, {"id": 1}, "annotations[1]: id"),
    ("annotations", 1, {"image_id": 11}, "annotations[1]: image_id"),
    ("annotations", 1, {"category_id": 5}, "annotations[1]: category_id"),
    ("annotations", 1, {"bbox": [1, 2, 0, 4]}, "annotations[1]: bbox"),
    ("annotations", 1, {"bbox": [1, 2, float("inf"), 4]}, "annotations[1]: bbox"),
    ("annotations", 1, {"bbox": [100, 2, 5, 5]}, "annotations[1]: bbox"),
    ("annotations", 1, {"bbox": [-9, 2, 5, 5]}, "annotations[1]: bbox"),
    ("hoi_annotations", 0, {"image_id": 11}, "hoi_annotations[0]: image_id"),
    ("hoi_annotations", 0, {"verb_id": 2}, "hoi_annotations[0]: verb_id"),
    ("hoi_annotations", 0, {"human_annotation_id": 2}, "'mug'"),
    ("hoi_annotations", 0, {"human_annotation_id": 4}, "of image 10"),
    ("hoi_annotations", 0, {"object_annotation_id": 1}, "other than the human"),
    ("hoi_annotations", 0, {"object_annotation_id": 99}, "object_annotation_id = 99"),
]


@pytest.mark.parametrize(("key", "index", "change", "expected"), BROKEN, ids=[b[3] for b in BROKEN])
def test_broken_record_is_named(write_json, key, index, change, expected):
    data = copy.deepcopy(document())
    data[key][index] |= change
    with pytest.raises(DataFormatError) as error:
        load_hoi_json(write_json(data, "mine.json"))
    assert expected in str(error.value)
    assert "mine.json" in str(error.value)


def test_missing_object_key_is_not_taken_for_no_object(write_json):
    data = document()
    del data["hoi_annotations"][0]["object_annotation_id"]
    with pytest.raises(DataFormatError, match="null = none"):
        load_hoi_json(write_json(data))
