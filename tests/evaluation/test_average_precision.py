"""11-point and all-point AP against the definitions."""

from __future__ import annotations

import evaluation_oracles as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoi_d2.evaluation.average_precision import (
    MATLAB_THRESHOLDS,
    NUMPY_THRESHOLDS,
    Ranking,
    all_point_ap,
    final_recall,
    hits_of,
    interpolated_ap,
)

lists = st.lists(st.tuples(st.lists(st.booleans(), max_size=12), st.integers(0, 5)), max_size=5)


def ranking_of(classes: list[tuple[list[bool], int]]) -> Ranking:
    """A ranking from, for each class, its hits in order and how many positives were missed."""
    hits = [h for h, _ in classes]
    flat = np.asarray([hit for h in hits for hit in h], dtype=bool)
    return Ranking(
        rows=np.arange(len(flat)),
        classes=np.repeat(np.arange(len(hits)), [len(h) for h in hits]),
        true_positive=flat,
        num_positives=np.asarray([sum(h) + missed for h, missed in classes], dtype=np.int64),
    )


def test_thresholds_are_matlabs():
    # 0:0.1:1 counts up to the middle and down from the end; famous: 0.3 is not in it
    assert MATLAB_THRESHOLDS.tolist() == oracle.MATLAB_RECALLS
    assert MATLAB_THRESHOLDS[3] != 0.3 and MATLAB_THRESHOLDS[6] == 0.6
    assert NUMPY_THRESHOLDS.tolist() == oracle.NUMPY_RECALLS
    assert NUMPY_THRESHOLDS[6] != 0.6


@pytest.mark.parametrize(
    "hits, missed, eleven, area",
    [
        ([], 0, 0.0, 0.0),
        ([], 3, 0.0, 0.0),
        ([False, False], 0, 0.0, 0.0),
        ([True], 0, 1.0, 1.0),
        ([True], 1, 6 / 11, 0.5),
        ([False, True], 0, 0.5, 0.5),
        ([True, False, True], 0, (6 + 5 * 2 / 3) / 11, 0.5 + 0.5 * 2 / 3),
        ([True] * 3, 2, 7 / 11, 0.6),  # recall 3/5 reaches MATLAB's 0.6, not numpy's
    ],
)
def test_known_values(hits, missed, eleven, area):
    found = hits_of(ranking_of([(hits, missed)]))
    assert interpolated_ap(found)[0] == pytest.approx(eleven, abs=1e-15)
    assert all_point_ap(found)[0] == pytest.approx(area, abs=1e-15)


def test_the_last_bit_of_a_threshold_matters():
    found = hits_of(ranking_of([([True] * 3, 2)]))
    assert interpolated_ap(found, MATLAB_THRESHOLDS)[0] == pytest.approx(7 / 11)
    assert interpolated_ap(found, NUMPY_THRESHOLDS)[0] == pytest.approx(6 / 11)


@settings(max_examples=300, deadline=None)
@given(lists)
def test_agrees_with_the_definitions(classes):
    found = hits_of(ranking_of(classes))
    expected = [oracle.eleven_points(h, sum(h) + m) for h, m in classes]
    np.testing.assert_allclose(interpolated_ap(found), expected, rtol=0, atol=1e-14)
    expected = [oracle.eleven_points(h, sum(h) + m, oracle.NUMPY_RECALLS) for h, m in classes]
    np.testing.assert_allclose(
        interpolated_ap(found, NUMPY_THRESHOLDS), expected, rtol=0, atol=1e-14
    )
    expected = [oracle.area_under(h, sum(h) + m) for h, m in classes]
    np.testing.assert_allclose(all_point_ap(found), expected, rtol=0, atol=1e-14)
    expected = [sum(h) / (sum(h) + m) if sum(h) + m else np.nan for h, m in classes]
    np.testing.assert_allclose(final_recall(found), expected)


@settings(max_examples=200, deadline=None)
@given(lists, st.data())
def test_a_weight_counts_as_so_many_copies(classes, data):
    ranking = ranking_of(classes)
    count = len(ranking.rows)
    weights = np.asarray(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    weights = weights.astype(np.int32)
    copies = np.repeat(np.arange(count), weights)
    repeated = Ranking(
        copies, ranking.classes[copies], ranking.true_positive[copies], ranking.num_positives * 3
    )
    weighed = hits_of(ranking, weights, ranking.num_positives * 3)
    # along the copies of a hit precision only grows, so the last one decides for all of them
    for rule in (interpolated_ap, all_point_ap):
        np.testing.assert_allclose(rule(weighed), rule(hits_of(repeated)), rtol=0, atol=1e-14)
    np.testing.assert_allclose(final_recall(weighed), final_recall(hits_of(repeated)))


@settings(max_examples=100, deadline=None)
@given(lists)
def test_selecting_everything_changes_nothing(classes):
    ranking = ranking_of(classes)
    same = ranking.select(np.ones(len(ranking.rows), dtype=bool))
    np.testing.assert_array_equal(interpolated_ap(hits_of(same)), interpolated_ap(hits_of(ranking)))
    none = ranking.select(np.zeros(len(ranking.rows), dtype=bool))
    assert not interpolated_ap(hits_of(none)).any()
    assert none.num_detections.sum() == 0
