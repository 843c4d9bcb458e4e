"""Intervals: weighing images is the same as repeating them; differences are paired."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_oracles import Detection
from evaluation_worlds import (
    IMAGES,
    NUM_HOIS,
    VOCABULARY,
    distinct_scores,
    pairs,
    results_of,
    truth_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hoi_d2.evaluation.average_precision import Measure, System
from hoi_d2.evaluation.bootstrap import bootstrap, bootstrap_difference
from hoi_d2.evaluation.hico_det_metrics import score_hico_det
from hoi_d2.evaluation.results import HOIResults

BOX = [0.0, 0.0, 10.0, 10.0]


def measure_of(detections, truth) -> Measure:
    scores = score_hico_det(results_of(detections), truth_of(truth), VOCABULARY)
    return scores.measures["default"]


@settings(max_examples=150, deadline=None)
@given(
    pairs(max_size=12), pairs(), st.lists(st.integers(0, 3), min_size=3, max_size=3).map(np.array)
)
def test_a_weighed_image_counts_as_so_many_images(detections, truth, weights):
    detections = distinct_scores(detections)  # else the copies' rows could stand in another order
    weighed = measure_of(detections, truth).average_precision(weights.astype(np.int32))
    rows, annotated, images = [], [], []
    for image, weight in zip(IMAGES, weights):
        for copy in range(weight):
            number = 100 * image + copy
            images.append(number)
            rows += [d._replace(image=number) for d in detections if d.image == image]
            annotated += [t._replace(image=number) for t in truth if t.image == image]
    repeated = score_hico_det(
        results_of(rows), truth_of(annotated, tuple(images)), VOCABULARY
    ).ap_default
    counted = {t.cls for t in annotated}
    drawn_away = {t.cls for t in truth} - counted
    for cls in range(NUM_HOIS):
        if cls in drawn_away:
            assert np.isnan(weighed[cls])
        else:
            assert weighed[cls] == pytest.approx(repeated[cls], abs=1e-12)


def random_system(num_images: int = 60, seed: int = 0, noise: float = 2.0) -> System:
    """One class, an annotated pair an image, found with some chance at a random score."""
    rng = np.random.default_rng(seed)
    boxes = np.tile(BOX, (num_images, 1))
    found = boxes + rng.normal(scale=noise, size=(num_images, 1))
    hoi = np.full(num_images, 1, dtype=np.int32)
    obj, verb = VOCABULARY.hois[1]
    results = HOIResults(
        image_ids=np.arange(num_images),
        human_boxes=found,
        object_boxes=boxes,
        object_classes=np.full(num_images, obj, dtype=np.int32),
        verb_classes=np.full(num_images, verb, dtype=np.int32),
        hoi_classes=hoi,
        scores=rng.random(num_images),
    )
    truth = [Detection(i, BOX, BOX, 1) for i in range(num_images)]
    scores = score_hico_det(results, truth_of(truth, tuple(range(num_images))), VOCABULARY)
    return System(scores.measures, lambda ap: {"ap": 100 * float(np.nan_to_num(ap["default"][1]))})


def test_interval_holds_the_value_and_narrows_with_more_images():
    small = bootstrap(random_system(40), 40, replicates=200)["ap"]
    large = bootstrap(random_system(640), 640, replicates=200)["ap"]
    for interval in (small, large):
        assert interval.low < interval.value < interval.high
        assert interval.deviation > 0
    assert large.high - large.low < (small.high - small.low) / 2


def test_same_seed_same_interval():
    system = random_system()
    assert bootstrap(system, 60, replicates=20) == bootstrap(system, 60, replicates=20)
    assert bootstrap(system, 60, replicates=20, seed=1) != bootstrap(system, 60, replicates=20)


def test_differences_are_paired():
    system, worse = random_system(), random_system(noise=8.0)
    same = bootstrap_difference(system, system, 60, replicates=20)["ap"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    difference = bootstrap_difference(system, worse, 60, replicates=100)["ap"]
    assert difference.low > 0
    both = [bootstrap(s, 60, replicates=100)["ap"].deviation for s in (system, worse)]
    assert difference.deviation < sum(both)


@pytest.mark.parametrize("options", [{"replicates": 1}, {"level": 1.0}, {"num_images": 0}])
def test_nonsense_is_refused(options):
    arguments = {"num_images": 60, "replicates": 10} | options
    with pytest.raises(ValueError, match="at least 2 replicates"):
        bootstrap(random_system(), **arguments)


def test_select_keeps_positives():
    measure = random_system().measures["default"]
    none = measure.select(np.zeros(len(measure.images), dtype=bool))
    assert not none.average_precision().any()
    assert none.ranking.num_positives[1] == 60
    assert measure.average_precision()[1] > 0
