"""HICO-DET's rule against a literal oracle, and what must hold of any results."""

from __future__ import annotations

import evaluation_oracles as oracle
import numpy as np
import pytest
from evaluation_oracles import Detection
from evaluation_worlds import (
    IMAGES,
    NAN_BOX,
    NUM_HOIS,
    VOCABULARY,
    distinct_scores,
    pairs,
    results_of,
    truth_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hoi_d2.evaluation.evaluators import first_visits
from hoi_d2.evaluation.hico_det_metrics import (
    class_groups,
    objects_of_labels,
    score_hico_det,
    summarize_hico_det,
)
from hoi_d2.evaluation.results import HOIResults

A, B, C = [1.0, 1.0, 5.0, 5.0], [2.0, 1.0, 6.0, 5.0], [8.0, 8.0, 12.0, 12.0]
PIXEL = [3.0, 3.0, 4.0, 4.0]


def default_ap(detections: list[Detection], truth: list[Detection], **options) -> np.ndarray:
    scores = score_hico_det(results_of(detections), truth_of(truth), VOCABULARY, **options)
    return scores.ap_default


@pytest.mark.parametrize(
    "detections, truth, expected",
    [
        ([], [], [0, 0, 0, 0]),
        ([], [Detection(3, A, C, 1)], [0, 0, 0, 0]),
        ([Detection(3, A, C, 1, 0.5)], [], [0, 0, 0, 0]),
        ([Detection(3, A, C, 1, 0.5)], [Detection(3, A, C, 1)], [0, 1, 0, 0]),
        # a second hit on a claimed pair is wrong although another pair would fit
        (
            [Detection(3, A, C, 1, 0.9), Detection(3, A, C, 1, 0.8)],
            [Detection(3, A, C, 1), Detection(3, B, C, 1)],
            [0, 6 / 11, 0, 0],
        ),
        # the same pair annotated twice: the second can never be found
        (
            [Detection(3, A, C, 1, 0.9), Detection(3, A, C, 1, 0.8)],
            [Detection(3, A, C, 1), Detection(3, A, C, 1)],
            [0, 6 / 11, 0, 0],
        ),
        # equal scores: the one that comes first is ranked first
        (
            [Detection(3, C, C, 1, 0.5), Detection(3, A, C, 1, 0.5)],
            [Detection(3, A, C, 1)],
            [0, 0.5, 0, 0],
        ),
        # a person as the object; a box of one pixel; an undefined box
        ([Detection(3, A, C, 0, 0.5)], [Detection(3, A, C, 0)], [1, 0, 0, 0]),
        ([Detection(3, PIXEL, PIXEL, 3, 0.5)], [Detection(3, PIXEL, PIXEL, 3)], [0, 0, 0, 1]),
        ([Detection(3, A, NAN_BOX, 1, 0.5)], [Detection(3, A, C, 1)], [0, 0, 0, 0]),
        # an annotated pair without visible object does not count
        ([Detection(3, A, C, 1, 0.5)], [Detection(3, A, NAN_BOX, 1)], [0, 0, 0, 0]),
        # the same boxes in another image
        ([Detection(5, A, C, 1, 0.5)], [Detection(3, A, C, 1)], [0, 0, 0, 0]),
    ],
)
def test_known_cases(detections, truth, expected):
    np.testing.assert_allclose(default_ap(detections, truth), expected, atol=1e-12)


@settings(max_examples=400, deadline=None)
@given(pairs(max_size=14, nan=True), pairs())
def test_agrees_with_the_literal_rule(detections, truth):
    scores = score_hico_det(results_of(detections), truth_of(truth), VOCABULARY)
    ap, recall = oracle.hico_det(detections, truth, NUM_HOIS)
    np.testing.assert_allclose(scores.ap_default, ap, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.recall, recall, rtol=0, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(pairs(max_size=14), pairs(), st.sets(st.tuples(st.sampled_from(IMAGES), st.integers(0, 2))))
def test_known_object_agrees_with_the_literal_rule(detections, truth, present):
    object_present = np.zeros((len(IMAGES), 3), dtype=bool)
    for image, obj in present:
        object_present[IMAGES.index(image), obj] = True
    scores = score_hico_det(
        results_of(detections), truth_of(truth), VOCABULARY, object_present=object_present
    )
    kept = oracle.keep_known_objects(detections, VOCABULARY.hois[:, 0].tolist(), present)
    ap, _ = oracle.hico_det(kept, truth, NUM_HOIS)
    np.testing.assert_allclose(scores.ap_known_object, ap, rtol=0, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(pairs(max_size=14), pairs(), st.sampled_from([("qpic", None), ("cdn", 0.7)]))
def test_peers_agree_with_their_literal_rules(detections, truth, peer):
    protocol, nms = peer
    detections = distinct_scores(detections)
    ap = default_ap(detections, truth, protocol=protocol)
    expected = oracle.qpic(detections, truth, NUM_HOIS, nms)
    np.testing.assert_allclose(ap, expected, rtol=0, atol=1e-12)


def test_qpic_counts_a_hundred_rows_of_an_image():
    wrong = [Detection(3, C, A, 1, 1.0 + i) for i in range(100)]
    right = [Detection(3, A, C, 1, 0.5)]
    truth = [Detection(3, A, C, 1)]
    assert default_ap(wrong + right, truth)[1] == pytest.approx(1 / 101)
    assert default_ap(wrong + right, truth, protocol="qpic")[1] == 0
    assert default_ap(wrong[1:] + right, truth, protocol="qpic")[1] == pytest.approx(1 / 100)


@settings(max_examples=100, deadline=None)
@given(pairs(max_size=14), pairs(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(detections, truth, random):
    detections = distinct_scores(detections)
    shuffled = random.sample(detections, len(detections))
    np.testing.assert_array_equal(default_ap(detections, truth), default_ap(shuffled, truth))


@settings(max_examples=100, deadline=None)
@given(pairs(max_size=14), pairs(), st.permutations(IMAGES), st.integers(0, 3))
def test_splitting_over_ranks_does_not_matter(detections, truth, order, cut):
    """Rows of an image stay together and in order; which rank had it, and when, is forgotten."""
    whole = sorted(detections, key=lambda d: d.image)
    visits, counts, parts = [], [], []
    for image in [*order, *order[:cut]]:  # a padding sampler shows some images twice
        rows = [d for d in detections if d.image == image]
        visits.append(image)
        counts.append(len(rows))
        parts.append(results_of(rows))
    gathered, images = first_visits(
        HOIResults.concatenate(parts), np.asarray(visits), np.asarray(counts)
    )
    assert images.tolist() == sorted(IMAGES)
    ap = score_hico_det(gathered, truth_of(truth), VOCABULARY).ap_default
    np.testing.assert_array_equal(ap, default_ap(whole, truth))


@settings(max_examples=100, deadline=None)
@given(pairs(max_size=14), pairs(min_size=1), pairs(max_size=1))
def test_bounds_and_a_false_positive_at_the_end(detections, truth, extra):
    before = score_hico_det(results_of(detections), truth_of(truth), VOCABULARY)
    assert (before.ap_default >= 0).all() and (before.ap_default <= 1).all()
    assert not (before.recall > 1).any()
    last = [d._replace(score=-1.0, human=[90.0, 90.0, 99.0, 99.0]) for d in extra]
    after = score_hico_det(results_of(detections + last), truth_of(truth), VOCABULARY)
    # removing a false positive below all others changes nothing, least of all for the worse
    np.testing.assert_array_equal(before.ap_default, after.ap_default)


def test_images_outside_the_data_set_and_rows_without_class_do_not_count():
    rows = [Detection(3, A, C, 1, 0.5), Detection(4, A, C, 1, 0.9)]
    truth = truth_of([Detection(3, A, C, 1)])
    assert score_hico_det(results_of(rows), truth, VOCABULARY).ap_default[1] == 1
    results = results_of(rows[:1])
    results.hoi_classes[:] = -1
    assert score_hico_det(results, truth, VOCABULARY).ap_default[1] == 1  # horse, ride = class 1
    results.verb_classes[:] = 0  # hug horse is no class
    assert score_hico_det(results, truth, VOCABULARY).num_detections.sum() == 0


def test_summary_leaves_out_empty_groups():
    scores = score_hico_det(results_of([]), truth_of([Detection(3, A, C, 1)]), VOCABULARY)
    groups = {"unseen": [2], "nothing": []}
    metrics = summarize_hico_det(scores, class_groups(NUM_HOIS, [1], [1, 2], groups))
    names = {n.removeprefix("mAP_default_") for n in metrics if n.startswith("mAP_default")}
    assert names == {"full", "rare", "nonrare", "unseen"}


def test_labels_decide_the_known_objects():
    truth = truth_of([])
    labels = np.array([[1, 0, 0, 0], [0, 0, 1, -1], [-2, -2, -2, -2], [1, 1, 1, 1]])
    ids = np.array([8, 3, 5, 99])
    present = objects_of_labels(truth, ids, labels, VOCABULARY)
    np.testing.assert_array_equal(present, [[0, 1, 0], [0, 0, 0], [1, 0, 0]])
    with pytest.raises(ValueError, match=r"1 images of the ground truth .* first is 5"):
        objects_of_labels(truth, ids[:2], labels[:2], VOCABULARY)
