"""One error of each kind, and what putting it right gives."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_oracles import Detection
from evaluation_worlds import NUM_HOIS, VOCABULARY, pairs, results_of, truth_of
from hypothesis import given, settings

from hoi_d2.evaluation.error_analysis import CAUSES, MISSED, analyze_errors, find_causes
from hoi_d2.evaluation.hico_det_metrics import score_hico_det
from hoi_d2.visualization.plots.errors import plot_errors

HUMAN, HORSE = [0.0, 0.0, 10.0, 20.0], [5.0, 10.0, 25.0, 20.0]
SHIFTED_HUMAN, SHIFTED_HORSE = [6.0, 0.0, 16.0, 20.0], [15.0, 10.0, 35.0, 20.0]
SECOND, SECOND_HORSE = [50.0, 0.0, 60.0, 20.0], [55.0, 10.0, 75.0, 20.0]
NOWHERE = [90.0, 90.0, 99.0, 99.0]
RIDE_HORSE, HOLD_HORSE, HOLD_CUP = 1, 2, 3
TRUTH = [Detection(3, HUMAN, HORSE, RIDE_HORSE), Detection(3, SECOND, SECOND_HORSE, RIDE_HORSE)]


def analyze(detections, truth):
    ground_truth = truth_of(truth)
    scores = score_hico_det(results_of(detections), ground_truth, VOCABULARY)
    mask = np.arange(NUM_HOIS) == RIDE_HORSE
    return analyze_errors(scores, ground_truth, VOCABULARY, evaluated=mask)


@pytest.mark.parametrize(
    "detection, cause, gain",
    [
        (Detection(3, SHIFTED_HUMAN, HORSE, RIDE_HORSE, 0.9), "human box", 6 / 11),
        (Detection(3, HUMAN, SHIFTED_HORSE, RIDE_HORSE, 0.9), "object box", 6 / 11),
        (Detection(3, SHIFTED_HUMAN, SHIFTED_HORSE, RIDE_HORSE, 0.9), "both boxes", 6 / 11),
        (Detection(3, HUMAN, HORSE, HOLD_HORSE, 0.9), "wrong verb", 6 / 11),
        (Detection(3, HUMAN, SECOND_HORSE, RIDE_HORSE, 0.9), "wrong pairing", 6 / 11),
        (Detection(3, NOWHERE, HORSE, RIDE_HORSE, 0.9), "background", 0),
        (Detection(5, HUMAN, HORSE, RIDE_HORSE, 0.9), "background", 0),
    ],
)
def test_each_cause(detection, cause, gain):
    analysis = analyze([detection], TRUTH)
    assert {name: n for name, n in analysis.counts.items() if n and name != MISSED} == {cause: 1}
    assert analysis.costs[cause] == pytest.approx(100 * gain)
    assert list(CAUSES)[analysis.cause_of[0]] == cause


def test_wrong_object():
    truth = [Detection(3, HUMAN, HORSE, HOLD_HORSE)]
    analysis = analyze([Detection(3, HUMAN, HORSE, HOLD_CUP, 0.9)], truth)
    assert analysis.counts["wrong object"] == 1


def test_a_duplicate_costs_what_stands_below_it():
    detections = [
        Detection(3, HUMAN, HORSE, RIDE_HORSE, 0.9),
        Detection(3, HUMAN, HORSE, RIDE_HORSE, 0.8),
        Detection(3, SECOND, SECOND_HORSE, RIDE_HORSE, 0.7),
    ]
    analysis = analyze(detections, TRUTH)
    assert analysis.counts["duplicate"] == 1 and analysis.counts[MISSED] == 0
    assert analysis.mean_ap == pytest.approx(100 * (6 + 5 * 2 / 3) / 11)
    assert analysis.costs["duplicate"] == pytest.approx(100 - analysis.mean_ap)


def test_missed_pairs_are_those_without_any_other_error():
    detections = [Detection(3, HUMAN, HORSE, RIDE_HORSE, 0.9)]
    analysis = analyze(detections, TRUTH)
    assert analysis.counts[MISSED] == 1
    assert analysis.costs[MISSED] == pytest.approx(100 - analysis.mean_ap)
    nearly = Detection(3, SHIFTED_HUMAN[:], SECOND_HORSE, RIDE_HORSE, 0.1)
    nearly = nearly._replace(human=[56.0, 0.0, 66.0, 20.0])
    assert analyze([*detections, nearly], TRUTH).counts[MISSED] == 0


@settings(max_examples=100, deadline=None)
@given(pairs(max_size=12), pairs())
def test_every_false_positive_has_one_cause(detections, truth):
    ground_truth = truth_of(truth)
    scores = score_hico_det(results_of(detections), ground_truth, VOCABULARY)
    cause, target = find_causes(scores, ground_truth, VOCABULARY)
    ranking = scores.measures["default"].ranking
    right = np.zeros(len(detections), dtype=bool)
    right[ranking.rows[ranking.true_positive]] = True
    np.testing.assert_array_equal(cause < 0, right)
    assert (target[right] == -1).all()
    analysis = analyze_errors(scores, ground_truth, VOCABULARY)
    assert sum(analysis.counts[c] for c in CAUSES) == (~right).sum()
    for name in ("duplicate", "background", "human box", "wrong pairing"):
        assert analysis.costs[name] > -1e-9  # removing or mending a false positive never hurts


def test_plot(tmp_path):
    analysis = analyze([Detection(3, SHIFTED_HUMAN, HORSE, RIDE_HORSE, 0.9)], TRUTH)
    plot_errors(tmp_path / "plots" / "errors.png", analysis, title="toy")
    assert (tmp_path / "plots" / "errors.png").read_bytes()[:4] == b"\x89PNG"
    lines = (tmp_path / "plots" / "errors.csv").read_text().splitlines()
    assert lines[0] == "cause,cost_in_AP,count" and lines[1].startswith("human box,54.54")
    assert len(lines) == len(CAUSES) + 2
