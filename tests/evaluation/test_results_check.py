"""What is refused before scoring, and what is only reported."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from evaluation_oracles import Detection
from evaluation_worlds import NAN_BOX, VOCABULARY, results_of

from hoi_d2.data.vocabulary import hico_det_vocabulary
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.evaluation.results import HOIResults, ResultFormatError
from hoi_d2.evaluation.results_check import check_results, count_repeated_rows

A, B = [1.0, 1.0, 5.0, 5.0], [2.0, 2.0, 9.0, 9.0]
IMAGES = np.array([3, 5])


def good() -> HOIResults:
    return results_of([Detection(3, A, B, 1, 0.5), Detection(5, A, B, 2, 0.25)])


def check(results: HOIResults, **options):
    return check_results(results, VOCABULARY, IMAGES, source="r.json", **options)


def test_good_and_empty_results_pass():
    assert check(good())[1] == []
    assert check(results_of([]))[1] == []


@pytest.mark.parametrize(
    "change, message",
    [
        ({"scores": np.array([0.5, np.nan])}, "r.json: row 1: score is nan"),
        ({"scores": np.array([np.inf, -np.inf])}, r"row 0 \(and 1 more rows\): score is inf"),
        ({"human_boxes": np.array([A, [0, 0, np.inf, 1]])}, "row 1: human_box is"),
        ({"object_boxes": np.array([A, [0, 0, -np.inf, 1]])}, "row 1: object_box is"),
        ({"object_classes": np.array([1, 3])}, r"row 1: object_category_id is 3, expected -1\.\.2"),
        ({"verb_classes": np.array([-1, 2])}, r"row 0: verb_id is -1, expected 0\.\.2"),
        ({"hoi_classes": np.array([1, 4])}, r"row 1: hoi_id is 4, expected -1\.\.3"),
        ({"hoi_classes": np.array([1, 3])}, "row 1: hoi_id 3 is 'hold cup' .object 2, verb 2."),
        ({"image_ids": np.array([3, 4])}, "row 1: image_id is 4, expected one of the 2 images"),
    ],
)
def test_refused(change, message):
    with pytest.raises(ResultFormatError, match=message):
        check(replace(good(), **change))


def test_images_can_be_dropped():
    results, warnings = check(replace(good(), image_ids=np.array([3, 4])), unknown_images="drop")
    assert results.image_ids.tolist() == [3]
    assert "1 rows in 1 images that are not scored were left out (the first is image 4)" in str(
        warnings
    )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"human_boxes": np.array([A, NAN_BOX])}, "1 rows have an undefined .* human box"),
        ({"object_boxes": np.array([A, NAN_BOX])}, "1 rows have an undefined .* object box"),
        ({"human_boxes": np.array([A, [5, 5, 4, 9]])}, "1 rows have an inverted human box"),
        (
            {"hoi_classes": np.array([1, -1]), "verb_classes": np.array([1, 0])},
            "1 rows have no HOI class of small",
        ),
    ],
)
def test_reported(change, message):
    results, warnings = check(replace(good(), **change))
    assert len(results) == 2 and len(warnings) == 1
    assert re.search(message, warnings[0])


def test_boxes_in_shares_are_reported(real_data):
    shares = {"human_boxes": np.array([[0.1, 0.1, 0.6, 0.6], [0, 0, 1, 1]])}
    assert "all human boxes lie in 0..1" in str(check(replace(good(), **shares))[1])
    one = {"human_boxes": np.array([[0.1, 0.1, 0.6, 0.6], NAN_BOX])}
    assert "0..1" in str(check(replace(good(), **one))[1])
    none = {"human_boxes": np.array([NAN_BOX, NAN_BOX])}
    assert "0..1" not in str(check(replace(good(), **none))[1])
    path = real_data.parent / "cases/results/normalised.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    results = read_results(path)
    _, warnings = check_results(results, hico_det_vocabulary(), np.array([1]))
    assert "all human boxes lie in 0..1" in str(warnings)


def test_no_object_is_nothing_odd():
    change = {"object_boxes": np.array([A, NAN_BOX]), "object_classes": np.array([1, -1])}
    change |= {"hoi_classes": np.array([1, -1])}
    _, warnings = check(replace(good(), **change))
    assert len(warnings) == 1 and "no HOI class" in warnings[0]


def test_classes_are_filled_in():
    results, _ = check(replace(good(), hoi_classes=np.array([-1, -1])))
    assert results.hoi_classes.tolist() == [1, 2]


def test_repeated_rows_are_counted():
    row, other = Detection(3, A, NAN_BOX, 1, 0.5), Detection(3, A, B, 1, 0.5)
    assert count_repeated_rows(results_of([])) == 0
    assert count_repeated_rows(results_of([row, other])) == 0
    assert count_repeated_rows(results_of([row, other, row, other, row])) == 3
    assert "2 rows repeat" in str(check(results_of([other, other, other]))[1])
