"""Overlaps, groups, claims, ranking and NMS against plain loops."""

from __future__ import annotations

import tracemalloc

import evaluation_oracles as oracle
import numpy as np
import pytest
from evaluation_worlds import boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from hoi_d2.evaluation.matching import (
    Groups,
    PairTable,
    best_pairs,
    first_argmax,
    first_claims,
    identify_rows,
    pair_nms,
    pairwise_iou,
    rank,
    top_per_image,
)

NAN = float("nan")


@pytest.mark.parametrize(
    "box, other, continuous, inclusive, strict",
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1, 1, 1),
        ([0, 0, 2, 2], [1, 0, 3, 2], 1 / 3, 6 / 12, 6 / 12),
        ([0, 0, 2, 2], [2, 2, 4, 4], 0, 1 / 17, 0),
        ([0, 0, 2, 2], [5, 5, 6, 6], 0, 0, 0),
        ([3, 3, 3, 3], [3, 3, 3, 3], 0, 1, 0),
        ([NAN, 0, 2, 2], [0, 0, 2, 2], 0, 0, 0),
        ([4, 4, 2, 2], [0, 0, 9, 9], 0, 0, 0),
    ],
)
def test_iou(box, other, continuous, inclusive, strict):
    a, b = np.array([box], dtype=float), np.array([other], dtype=float)
    assert pairwise_iou(a, b)[0] == pytest.approx(continuous)
    assert pairwise_iou(a, b, pixel=1.0)[0] == pytest.approx(inclusive)
    assert pairwise_iou(a, b, pixel=1.0, strict=True)[0] == pytest.approx(strict)


def test_iou_of_nothing():
    assert pairwise_iou(np.zeros((0, 4)), np.zeros((0, 4))).shape == (0,)


@settings(max_examples=100, deadline=None)
@given(boxes(), boxes())
def test_iou_is_the_inclusive_one_of_last_pixels(box, other):
    expected = oracle.inclusive_iou(oracle.last_pixel(box), oracle.last_pixel(other))
    assert pairwise_iou(np.array([box]), np.array([other]))[0] == pytest.approx(expected, abs=1e-15)


keys = st.lists(st.integers(0, 4), max_size=10)


@settings(max_examples=100, deadline=None)
@given(keys, keys)
def test_join_is_every_equal_combination_in_order(items, queries):
    found, joined, begins = Groups.of(np.asarray(items, dtype=int)).join(
        np.asarray(queries, dtype=int)
    )
    expected = [(q, i) for q, a in enumerate(queries) for i, b in enumerate(items) if a == b]
    rows = np.repeat(found, np.diff(np.append(begins, len(joined))))
    assert list(zip(rows.tolist(), joined.tolist())) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), max_size=5))
def test_first_argmax(segments):
    values = np.asarray([v for s in segments for v in s], dtype=float)
    begins = np.cumsum([0] + [len(s) for s in segments])[:-1].astype(int)
    expected = [b + s.index(max(s)) for b, s in zip(begins, segments)]
    assert first_argmax(values, begins).tolist() == expected


@pytest.mark.parametrize(
    "claims, expected",
    [([], []), ([-1, -1], [0, 0]), ([2, 2, -1, 0, 2], [1, 0, 0, 1, 0]), ([1, 0], [1, 1])],
)
def test_first_claims(claims, expected):
    assert first_claims(np.asarray(claims, dtype=int)).tolist() == [bool(e) for e in expected]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=12))
def test_rank_and_top(rows):
    classes = np.asarray([c for c, _ in rows], dtype=int)
    scores = np.asarray([s for _, s in rows], dtype=float)
    expected = sorted(range(len(rows)), key=lambda i: (classes[i], -scores[i], i))
    assert rank(classes, scores).tolist() == expected
    keep = top_per_image(classes, scores, 2)
    best = [i for c in range(3) for i in [j for j in expected if classes[j] == c][:2]]
    assert np.flatnonzero(keep).tolist() == sorted(best)


def test_best_pairs_is_the_same_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 20, size=(2, 300, 2))
    table = [np.concatenate([c, c + 8], axis=1).astype(float) for c in corners]
    found = PairTable(rng.integers(0, 9, 300), *table)
    truth = PairTable(rng.integers(0, 9, 40), table[0][:40], table[1][:40])
    whole = best_pairs(found, truth)
    monkeypatch.setattr("hoi_d2.evaluation.matching._BLOCK", 7)
    for a, b in zip(whole, best_pairs(found, truth)):
        np.testing.assert_array_equal(a, b)


def test_a_crowd_does_not_fill_the_memory():
    corners = np.random.default_rng(0).integers(0, 20, size=(1000, 2))
    boxes = np.concatenate([corners, corners + 8], axis=1).astype(float)
    table = PairTable(np.zeros(1000, dtype=np.int64), boxes, boxes)
    tracemalloc.start()
    best, overlap = best_pairs(table, table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (overlap == 1).all() and (boxes[best] == boxes).all()
    assert peak < 50e6  # a million overlaps at once would take 200 MB


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), boxes(), boxes()), max_size=10), st.data())
def test_pair_nms_is_greedy(rows, data):
    scores = data.draw(st.permutations(range(len(rows))))
    detections = [
        oracle.Detection(0, human, obj, key, float(score))
        for (key, human, obj), score in zip(rows, scores)
    ]
    table = PairTable(
        np.asarray([d.cls for d in detections], dtype=int),
        np.asarray([d.human for d in detections]).reshape(-1, 4),
        np.asarray([d.object for d in detections]).reshape(-1, 4),
    )
    keep = pair_nms(table, np.asarray(scores, dtype=float), threshold=0.7, object_power=0.5)
    kept = {d.score for d in oracle.pairwise_nms(detections, 0.7)}
    assert {float(s) for s, k in zip(scores, keep) if k} == kept


def test_identify_rows():
    ids = np.array([1, 1, 2, 1, 1])
    values = np.array([[0.0, NAN], [-0.0, NAN], [0.0, NAN], [0.0, 1.0], [0.0, NAN]])
    numbers = identify_rows(ids, values)
    assert numbers[0] == numbers[1] == numbers[4]
    assert len({numbers[0], numbers[2], numbers[3]}) == 3
    assert identify_rows(np.zeros(0), np.zeros((0, 4))).shape == (0,)


def test_identify_rows_survives_equal_hashes(monkeypatch):
    monkeypatch.setattr(
        "hoi_d2.evaluation.matching.hash_rows", lambda *c: np.zeros(len(c[0]), dtype=np.uint64)
    )
    numbers = identify_rows(np.array([1, 2, 1]))
    assert numbers[0] == numbers[2] != numbers[1]
