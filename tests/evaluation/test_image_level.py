"""HICO recognition, MPII and Stanford 40: the rule, files and evaluators."""

from __future__ import annotations

import json

import evaluation_oracles as oracle
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from hypothesis import given, settings
from hypothesis import strategies as st

from hoi_d2.evaluation.image_level_evaluators import (
    HICOEvaluator,
    MPIIEvaluator,
    Stanford40Evaluator,
)
from hoi_d2.evaluation.image_level_metrics import (
    ImageScores,
    few_shot_groups,
    image_level_ranking,
    mean_percent,
    read_image_scores,
    score_image_level,
    stanford40_metrics,
    write_image_scores,
)
from hoi_d2.evaluation.results import ResultFormatError


@st.composite
def entries(draw) -> tuple[np.ndarray, np.ndarray]:
    shape = (draw(st.integers(0, 8)), draw(st.integers(1, 4)))
    count = shape[0] * shape[1]
    scores = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    labels = draw(st.lists(st.integers(-2, 1), min_size=count, max_size=count))
    return np.reshape(scores, shape) / 4.0, np.reshape(labels, shape).astype(np.int8)


@settings(max_examples=200, deadline=None)
@given(entries())
def test_agrees_with_the_literal_rule(world):
    scores, labels = world
    for known_object, left_out in ((False, {0}), (True, {0, -2})):
        expected = oracle.image_level(scores.tolist(), labels.tolist(), left_out)
        expected = expected or [np.nan] * scores.shape[1]
        found = score_image_level(scores, labels, known_object=known_object)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_bad_scores_are_refused():
    labels = np.ones((2, 3), dtype=np.int8)
    with pytest.raises(ValueError, match=r"scores are \(2, 2\), labels \(2, 3\)"):
        image_level_ranking(np.zeros((2, 2)), labels)
    scores = np.zeros((2, 3))
    scores[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"image 1 .* class 2 is not finite"):
        image_level_ranking(scores, labels)


def test_groups_and_means():
    groups = few_shot_groups(np.array([0, 1, 5, 6, 11]))
    assert {n: g.tolist() for n, g in groups.items()} == {
        "few1": [0, 1],
        "few5": [0, 1, 2],
        "few10": [0, 1, 2, 3],
    }
    values = np.array([1.0, np.nan, 0.5])
    assert mean_percent(values) == 75.0
    assert mean_percent(values, np.array([1, 2])) == 50.0
    assert np.isnan(mean_percent(values, np.array([1])))


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"image_id": np.arange(2)}, "expected an .npz with image_id"),
        ({"image_id": np.zeros((2, 2), int), "scores": np.zeros((2, 3))}, "expected integers"),
        ({"image_id": np.arange(2), "scores": np.zeros((3, 3))}, r"expected \(2, C\)"),
        ({"image_id": np.zeros(2, int), "scores": np.zeros((2, 3))}, "more than once"),
        ({"image_id": np.arange(2), "scores": np.full((2, 3), np.inf)}, "image 0, class 0"),
    ],
)
def test_bad_files_are_refused(tmp_path, columns, message):
    np.savez(tmp_path / "scores.npz", **columns)
    with pytest.raises(ResultFormatError, match=message):
        read_image_scores(tmp_path / "scores.npz")


def test_file_round_trip(tmp_path):
    scores = ImageScores(np.array([4, 2]), np.array([[0.5, 1.0], [0.25, 0.0]]))
    write_image_scores(tmp_path / "a" / "scores.npz", scores)
    again = read_image_scores(tmp_path / "a" / "scores.npz")
    assert again.image_ids.tolist() == [2, 4]  # ascending, so that ties rank as in an evaluator
    np.testing.assert_array_equal(again.scores, scores.scores[::-1])


LABELS = {1: [1, -1], 2: [-1, 1], 3: [0, -2]}


@pytest.fixture
def dataset(request):
    name = f"image_level_{request.node.name}"
    dicts = [
        {"file_name": f"{i}.jpg", "image_id": i, "image_labels": np.array(v, dtype=np.int8)}
        for i, v in LABELS.items()
    ]
    DatasetCatalog.register(name, lambda: dicts)
    MetadataCatalog.get(name).set(training_positives=[1, 7])
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def process(evaluator, scores: dict[int, list[float]]) -> None:
    evaluator.reset()
    for image_id, row in scores.items():
        evaluator.process([{"image_id": image_id}], [{"hoi_scores": torch.tensor(row)}])


def test_hico_evaluator(dataset, tmp_path):
    evaluator = HICOEvaluator(dataset, output_dir=tmp_path)
    process(evaluator, {2: [0.2, 0.4], 1: [0.9, 0.1], 3: [1.0, 0.5]})
    metrics = evaluator.evaluate()["hico"]
    # class 0: image 3 is ambiguous; class 1: unknown image 3 stands above the only positive
    assert metrics == pytest.approx(
        {"mAP": 75, "mAP_known_object": 100, "mAP_few1": 100, "mAP_few5": 100, "mAP_few10": 75}
    )
    assert read_image_scores(tmp_path / "hico_scores.npz").image_ids.tolist() == [1, 2, 3]
    assert json.loads((tmp_path / "hico_metrics.json").read_text())["hico/mAP"] == 75


def test_stanford40_evaluator(dataset, tmp_path):
    evaluator = Stanford40Evaluator(dataset, output_dir=tmp_path)
    process(evaluator, {1: [0.9, 0.1], 2: [0.8, 0.4]})
    assert evaluator.evaluate()["stanford40"] == {"mAP": 100.0, "accuracy": 50.0}
    written = json.loads((tmp_path / "stanford40_metrics.json").read_text())
    assert written == {"stanford40/mAP": 100.0, "stanford40/accuracy": 50.0}


@pytest.mark.parametrize(
    ("classes", "accuracy"), [([0, 2, 2], 100), ([0, 2, 1], 200 / 3), ([0, 0, 1], 100 / 3)]
)
def test_accuracy_is_the_share_of_images_whose_best_class_is_theirs(classes, accuracy):
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7], [0.1, 0.2, 0.3]])
    labels = np.where(np.eye(3)[classes] > 0, 1, -1).astype(np.int8)
    assert stanford40_metrics(scores, labels)["accuracy"] == pytest.approx(accuracy)


def test_mpii_evaluator(dataset, caplog):
    evaluator = MPIIEvaluator(dataset)
    process(evaluator, {1: [0.1, 0.0], 2: [0.9, 0.8]})
    assert evaluator.evaluate()["mpii"]["mAP"] == pytest.approx(75)
    assert "1 of 3 images were not processed" in caplog.text


def test_evaluator_refuses_what_does_not_fit(dataset):
    evaluator = HICOEvaluator(dataset)
    evaluator.reset()
    with pytest.raises(ValueError, match="no image was processed"):
        evaluator.evaluate()
    process(evaluator, {9: [0.1, 0.2]})
    with pytest.raises(ValueError, match="first is 9"):
        evaluator.evaluate()
    process(evaluator, {1: [0.1, 0.2, 0.3]})
    with pytest.raises(ValueError, match="scores of 3 classes, but labels of 2"):
        evaluator.evaluate()
