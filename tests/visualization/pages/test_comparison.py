import os
from pathlib import Path

import numpy as np
import pytest
from drawing_cases import BALL, BICYCLE, HOLD, PERSON, RIDE, entity, hoi, make_results

from hoi_d2.data.vocabulary import hico_det_vocabulary, vcoco_vocabulary
from hoi_d2.evaluation.matching import pairwise_iou
from hoi_d2.visualization.pages.comparison import compare
from hoi_d2.visualization.scene import FALSE_ALARM, HIT, MISS

A, B = [10, 10, 50, 90], [60, 10, 100, 90]
BIKE = [5, 50, 70, 110]
BICYCLE_RIDDEN = (BICYCLE, RIDE, 0)
HOIS = {(BICYCLE, RIDE): 0, (BICYCLE, HOLD): 1, (BALL, HOLD): 2}


def record(image_id=1, interactions=(), entities=((A, PERSON), (BIKE, BICYCLE), (B, PERSON))):
    return {
        "image_id": image_id,
        "file_name": f"{image_id}.png",
        "annotations": [entity(box, category) for box, category in entities],
        "hoi_annotations": [
            pair | {"hoi": HOIS.get((entities[pair["object"]][1], pair["verb"]), -1)}
            for pair in interactions
        ],
    }


RODE = record(interactions=[hoi(0, 1, RIDE)])


@pytest.mark.parametrize(
    ("rows", "hits"),
    [
        ([], []),
        ([(1, A, BIKE, *BICYCLE_RIDDEN, 0.5)], [True]),
        ([(1, A, BIKE, BICYCLE, RIDE, -1, 0.5)], [True]),  # the HOI follows from verb and object
        ([(1, A, BIKE, *BICYCLE_RIDDEN, 0.5), (1, A, BIKE, *BICYCLE_RIDDEN, 0.6)], [False, True]),
        ([(1, B, BIKE, *BICYCLE_RIDDEN, 0.5)], [False]),
        ([(1, A, B, *BICYCLE_RIDDEN, 0.5)], [False]),
        ([(1, A, BIKE, BICYCLE, HOLD, 1, 0.5)], [False]),
        ([(1, A, BIKE, BALL, RIDE, -1, 0.5)], [False]),  # no such class
        ([(1, A, None, -1, RIDE, -1, 0.5)], [False]),
    ],
)
def test_hits(rows, hits, vocabulary):
    comparison = compare(make_results(rows), [RODE], vocabulary)
    assert comparison.judgement.hit.tolist() == hits
    assert (comparison.found_score > 0).tolist() == [any(hits)]


def test_detections_elsewhere_are_counted_and_left_out(vocabulary):
    rows = [(9, A, BIKE, *BICYCLE_RIDDEN, 0.5), (1, A, BIKE, *BICYCLE_RIDDEN, 0.4)]
    comparison = compare(make_results(rows), [RODE], vocabulary)
    assert comparison.num_unknown == 1 and len(comparison.results) == 1


@pytest.mark.parametrize(
    ("threshold", "left", "right"),
    [(0.0, [HIT], [HIT, FALSE_ALARM]), (0.5, [HIT], [HIT]), (0.9, [MISS], [])],
)
def test_states_follow_the_threshold(threshold, left, right, vocabulary):
    rows = [(1, A, BIKE, *BICYCLE_RIDDEN, 0.8), (1, B, BIKE, *BICYCLE_RIDDEN, 0.4)]
    comparison = compare(make_results(rows), [RODE], vocabulary)
    annotated, detected = comparison.interactions_of(0, score_threshold=threshold)
    assert [i.state for i in annotated] == left
    assert [i.state for i in detected] == right
    hits, misses, alarms = comparison.count(score_threshold=threshold)
    assert (hits[0], misses[0], alarms[0]) == (
        left.count(HIT),
        left.count(MISS),
        right.count(FALSE_ALARM),
    )


def test_only_some_classes(vocabulary):
    rows = [(1, A, BIKE, *BICYCLE_RIDDEN, 0.8), (1, A, BIKE, BICYCLE, HOLD, 1, 0.7)]
    comparison = compare(make_results(rows), [RODE], vocabulary)
    annotated, detected = comparison.interactions_of(0, score_threshold=0, classes=[1])
    assert annotated == [] and [i.verb for i in detected] == [HOLD]
    assert [c.tolist() for c in comparison.count(score_threshold=0, classes=[1])] == [[0], [0], [1]]


def test_what_the_metric_does_not_count_has_no_state(vocabulary):
    truth = record(interactions=[hoi(0, -1, RIDE), hoi(0, 1, RIDE)])
    rows = [(1, A, None, -1, RIDE, -1, 0.9)]
    comparison = compare(make_results(rows), [truth], vocabulary)
    annotated, detected = comparison.interactions_of(0, score_threshold=0)
    assert [i.state for i in annotated] == ["", MISS]
    assert [i.state for i in detected] == [""]


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([], 0.0),
        ([(1, A, BIKE, *BICYCLE_RIDDEN, 0.4)], 0.4),
        ([(1, A, BIKE, *BICYCLE_RIDDEN, 0.6), (1, B, BIKE, *BICYCLE_RIDDEN, 0.5)], 0.6),
        ([(1, A, BIKE, *BICYCLE_RIDDEN, 0.4), (1, B, BIKE, *BICYCLE_RIDDEN, 0.5)], 0.4),
    ],
)
def test_best_threshold(rows, best, vocabulary):
    assert compare(make_results(rows), [RODE], vocabulary).best_threshold() == best


def test_an_empty_dataset(vocabulary):
    comparison = compare(make_results([]), [], vocabulary)
    assert np.isnan(comparison.average_precision).all()
    assert [len(c) for c in comparison.count(score_threshold=0)] == [0, 0, 0]


def random_world(rng, vocabulary, num_images=6, num_rows=200):
    """Random annotations, and detections that are jittered annotations of random verbs."""
    records, rows = [], []
    for image in range(num_images):
        corners = rng.uniform(0, 60, (6, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(10, 50, (6, 2))], axis=1)
        kinds = [PERSON, PERSON, PERSON, BICYCLE, BICYCLE, BALL]
        pairs = [
            hoi(int(rng.integers(3)), 3 + int(rng.integers(3)), int(rng.integers(2)))
            for _ in range(5)
        ]
        pairs = [p for p in pairs if vocabulary.valid_verbs[kinds[p["object"]], p["verb"]]]
        records.append(record(image, pairs, list(zip(boxes.tolist(), kinds))))
        for _ in range(num_rows // num_images):
            target = int(rng.integers(3, 6))
            human, other = (boxes[i] + rng.normal(0, 4, 4) for i in (rng.integers(3), target))
            verb = int(rng.integers(2))
            score = float(rng.integers(1, 30)) / 30  # with ties
            rows.append((image, human.tolist(), other.tolist(), kinds[target], verb, -1, score))
    order = rng.permutation(len(rows))
    return records, make_results([rows[i] for i in order])


def slow_hits(comparison):
    """HICO-DET's rule as a loop over detections."""
    results, truth = comparison.results, comparison.truth
    taken, hits = set(), np.zeros(len(results), dtype=bool)
    for row in np.argsort(-results.scores, kind="stable"):
        same = [
            pair
            for pair in range(len(truth.verb_classes))
            if truth.pair_images[pair] == comparison.images[row]
            and comparison.judgement.truth_classes[pair] == results.hoi_classes[row] >= 0
        ]
        overlaps = [
            min(
                pairwise_iou(results.human_boxes[[row]], truth.human_boxes[[pair]])[0],
                pairwise_iou(results.object_boxes[[row]], truth.object_boxes[[pair]])[0],
            )
            for pair in same
        ]
        if same and max(overlaps) >= 0.5:
            best = same[int(np.argmax(overlaps))]
            hits[row] = best not in taken
            taken.add(best)
    return hits


@pytest.mark.parametrize("seed", range(4))
def test_against_a_loop_and_the_evaluator(seed, vocabulary):
    from hoi_d2.evaluation.hico_det_metrics import score_hico_det

    records, results = random_world(np.random.default_rng(seed), vocabulary)
    comparison = compare(results, records, vocabulary)
    assert 5 < comparison.judgement.hit.sum() < len(results)
    assert (comparison.judgement.hit == slow_hits(comparison)).all()
    expected = score_hico_det(results, comparison.truth, vocabulary).ap_default
    np.testing.assert_array_equal(np.nan_to_num(comparison.average_precision), 100 * expected)


def test_without_hoi_classes_only_vcoco_is_scored(verbs_only):
    with pytest.raises(ValueError, match="'verbs' has no HOI classes"):
        compare(make_results([]), [RODE], verbs_only)


def vcoco_rows(rows):
    return make_results([(1, h, o, -1 if o is None else BICYCLE, v, -1, s) for h, o, v, s in rows])


@pytest.mark.parametrize(
    ("rows", "hits", "counted"),
    [
        ([], [], []),
        ([(A, BIKE, 1, 0.9), (A, BIKE, 1, 0.8)], [True, False], [True, True]),
        ([(A, None, 1, 0.9)], [False], [True]),  # the object is there
        ([(A, BIKE, 2, 0.9)], [True], [True]),  # walk: whatever object comes with it
        ([(B, BIKE, 1, 0.9)], [False], [False]),  # a person whom V-COCO did not look at
        ([([200, 200, 220, 220], BIKE, 1, 0.9)], [False], [True]),
    ],
)
def test_vcoco(rows, hits, counted, verbs_only):
    truth = record(interactions=[hoi(0, 1, 1), hoi(0, -1, 2)])
    comparison = compare(vcoco_rows(rows), [truth], verbs_only, evaluator_type="vcoco")
    assert comparison.judgement.hit.tolist() == hits
    assert (comparison.judgement.result_classes >= 0).tolist() == counted
    matched = comparison.judgement.matched
    verbs = comparison.truth.verb_classes[matched[matched >= 0]]
    assert verbs.tolist() == [verb for (*_, verb, _), hit in zip(rows, hits) if hit]


def test_vcoco_without_people(verbs_only):
    empty = record(interactions=[], entities=[(BIKE, BICYCLE)])
    comparison = compare(
        vcoco_rows([(A, BIKE, 1, 0.9)]), [empty], verbs_only, evaluator_type="vcoco"
    )
    assert comparison.judgement.hit.tolist() == [False]


@pytest.fixture(scope="module")
def test_data() -> Path:
    folder = os.environ.get("HOI_D2_TEST_DATA")
    if not folder:
        pytest.skip("HOI_D2_TEST_DATA is not set: no reference figures to compare with")
    return Path(folder)


def test_hico_det_reference_figures(test_data):
    from hoi_d2.data.datasets.hico_det import load_hico_det
    from hoi_d2.evaluation.result_files import read_results

    records = load_hico_det(test_data / "hico_det" / "test_hico.json")
    results = read_results(test_data / "reference" / "hico_det_results.npz")
    official = np.load(test_data / "reference" / "hico_det_ap_official.npz")["AP"][:, 0]
    comparison = compare(results, records, hico_det_vocabulary())
    np.testing.assert_allclose(comparison.average_precision, 100 * official, atol=1e-9)


def test_vcoco_reference_figures(test_data):
    from hoi_d2.data.datasets.vcoco import load_vcoco
    from hoi_d2.evaluation.result_files import read_results
    from hoi_d2.evaluation.vcoco_metrics import VCOCOTruth, score_vcoco

    folder, vocabulary = test_data / "reference" / "vcoco_train", vcoco_vocabulary()
    records = load_vcoco(
        folder / "vcoco_train.json",
        coco_annotations=folder / "instances_vcoco_all_2014.json",
        image_ids=folder / "vcoco_train.ids",
    )
    results = read_results(folder / "results.npz")
    truth = VCOCOTruth.from_dataset_dicts(records, vocabulary)
    scores = score_vcoco(results, truth, vocabulary)
    agents = dict(zip(scores.actions, scores.agent))
    expected = [
        agents.get(verb, role) for verb, role in zip(vocabulary.verbs, scores.role_s1, strict=True)
    ]
    comparison = compare(results, records, vocabulary, evaluator_type="vcoco")
    np.testing.assert_allclose(comparison.average_precision, 100 * np.array(expected), atol=1e-9)
