import pytest
from drawing_cases import BICYCLE, HOLD, RIDE, entity, hoi

from hoi_d2.data.dataset import Dataset
from hoi_d2.visualization.pages.browse import (
    choose,
    filter_rows,
    hoi_of_entry,
    index_of,
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
        ({"verb": "rode"}, "no verb is called 'rode'. Did you mean ride"),
        ({"object_name": "tricycle"}, "no object is called 'tricycle'. Did you mean bicycle"),
        ({"verb": "xyz"}, "Expected one of ride, hold, hug"),
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


def test_a_ghost_entity_is_not_needed(vocabulary):
    record = {"annotations": [entity([0, 0, 1, 1], BICYCLE)]}  # no hoi_annotations at all
    assert filter_rows(record, Dataset("x", [record], vocabulary)) == []
