import numpy as np
import pytest

from hoi_d2.data.loading.dataset_report import report_dataset
from hoi_d2.data.vocabulary import Vocabulary

VOCABULARY = Vocabulary.from_hois(
    "small", ["person", "cup", "cat"], ["hold", "pet"], [(1, 0), (2, 1), (2, 0)]
)
CUP = {"category_id": 1}
CAT = {"category_id": 2}


def record(entities=(), *pairs):
    return {
        "annotations": list(entities),
        "hoi_annotations": [{"verb": verb, "hoi": hoi} for verb, hoi in pairs],
    }


@pytest.mark.parametrize(
    "records, evaluated, objects, verbs, hois",
    [
        ([], None, ["cup", "cat"], ["hold", "pet"], ["hold cup", "pet cat", "hold cat"]),
        ([record([CUP], (0, 0))], None, ["cat"], ["pet"], ["pet cat", "hold cat"]),
        ([record([CUP], (0, 0))], [0], [], [], []),
        ([record([CUP, CAT], (0, 0), (1, 1), (0, 2))], None, [], [], []),
        ([record(), record([CAT])], [1], [], ["pet"], ["pet cat"]),
    ],
)
def test_classes_never_seen(caplog, records, evaluated, objects, verbs, hois):
    caplog.set_level("INFO")
    never = report_dataset(records, vocabulary=VOCABULARY, evaluated_hois=evaluated)
    assert never == {"objects": objects, "verbs": verbs, "hois": hois}
    without = sum(not r["hoi_annotations"] for r in records)
    assert f"{len(records)} images ({without} without interactions)" in caplog.text
    for names in (objects, verbs, hois):
        assert not names or f"never occur in training: {', '.join(names)}" in caplog.text


def test_labels_of_whole_images(caplog):
    caplog.set_level("INFO")
    records = [{"image_labels": np.array(row, np.int8)} for row in ([1, -1, 0], [0, 0, -1])]
    never = report_dataset(records, vocabulary=VOCABULARY)
    assert never == {"objects": ["cat"], "verbs": ["pet"], "hois": ["pet cat", "hold cat"]}
    assert "2 images (1 without interactions)" in caplog.text


def test_a_vocabulary_without_hois():
    vocabulary = Vocabulary.from_hois("roles", ["person"], ["run", "eat"], [])
    never = report_dataset([record([], (1, -1))], vocabulary=vocabulary)
    assert never == {"objects": ["person"], "verbs": ["run"], "hois": []}


def test_long_lists_are_cut(caplog):
    names = [f"verb{i}" for i in range(30)]
    vocabulary = Vocabulary.from_hois("many", ["person"], names, [])
    report_dataset([], vocabulary=vocabulary)
    assert "verb19 and 10 more" in caplog.text and "verb20" not in caplog.text
