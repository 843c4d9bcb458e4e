"""HICODetEvaluator on detectron2's protocol."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from hoi_d2.data.vocabulary import Vocabulary, hico_det_vocabulary
from hoi_d2.evaluation.evaluators import HICODetEvaluator
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.evaluation.scorers import HICODetScorer
from hoi_d2.structures import empty_hoi_instances, make_hoi_instances

VOCABULARY = hico_det_vocabulary()
SIZE = (100, 100)
PERSON, THING = [10.0, 10.0, 40.0, 80.0], [30.0, 50.0, 90.0, 95.0]


def dataset_dict(image_id: int, hois: list[int]) -> dict:
    """An image with one person and one object and these HOIs (all of the same object)."""
    objects = VOCABULARY.hois[hois, 0] if hois else [0]
    entities = [
        {"bbox": PERSON, "bbox_mode": 0, "category_id": 0, "iscrowd": 0},
        {"bbox": THING, "bbox_mode": 0, "category_id": int(objects[0]), "iscrowd": 0},
    ]
    pairs = [{"human": 0, "object": 1, "verb": int(VOCABULARY.hois[h, 1]), "hoi": h} for h in hois]
    return {
        "file_name": f"HICO_test2015_{image_id:08}.jpg",
        "image_id": image_id,
        "height": SIZE[0],
        "width": SIZE[1],
        "annotations": entities,
        "hoi_annotations": pairs,
    }


def output(hois: list[int], scores: list[float], shift: float = 0.0) -> dict:
    """A model's output with a detection of each HOI, its boxes moved by `shift`."""
    count = len(hois)
    if not count:
        return {"hoi_instances": empty_hoi_instances(SIZE)}
    table = torch.as_tensor(VOCABULARY.hois[hois])
    return {
        "hoi_instances": make_hoi_instances(
            image_size=SIZE,
            human_boxes=torch.tensor([PERSON] * count) + shift,
            object_boxes=torch.tensor([THING] * count) + shift,
            object_classes=table[:, 0],
            verb_classes=table[:, 1],
            hoi_classes=torch.tensor(hois),
            scores=torch.tensor(scores),
            pair_indices=torch.tensor([[0, 1]] * count),
        )
    }


OWN = Vocabulary.from_hois("own", ["person", "cup"], ["hold"], [[1, 0]])


@pytest.mark.parametrize(
    ("vocabulary", "file", "notes"),
    [(OWN, None, 0), (OWN, "none.mat", 1), (VOCABULARY, None, 1), (VOCABULARY, "none.mat", 1)],
)
def test_labels_of_images_are_missed_where_they_exist(vocabulary, file, notes):
    assert len(HICODetScorer([], vocabulary, image_labels_file=file).notes) == notes


@pytest.fixture
def dataset(request):
    """Registers three images, the last of them without interactions."""
    name = f"evaluator_test_{request.node.name}"
    dicts = [dataset_dict(1, [3, 4]), dataset_dict(2, [3]), dataset_dict(7, [])]
    DatasetCatalog.register(name, lambda: dicts)
    MetadataCatalog.get(name).set(
        vocabulary=VOCABULARY, rare_hois=[4], evaluated_hois=[3, 4], evaluator_type="hico_det"
    )
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def run(evaluator, outputs: dict[int, dict]) -> dict:
    evaluator.reset()
    for image_id, out in outputs.items():
        evaluator.process([{"image_id": image_id}], [out])
    return evaluator.evaluate()["hico_det"]


@pytest.mark.parametrize(
    "outputs, full, rare, nonrare",
    [
        ({1: output([], []), 2: output([], []), 7: output([], [])}, 0.0, 0.0, 0.0),
        ({1: output([3, 4], [0.9, 0.8]), 2: output([3], [0.7]), 7: output([], [])}, 100, 100, 100),
        # image 2 missed: recall 1/2 of class 3 gives 6 of 11 thresholds
        ({1: output([3, 4], [0.9, 0.8]), 7: output([], [])}, (600 / 11 + 100) / 2, 100, 600 / 11),
        # a false positive on the empty image above the true one: precision 1/2 everywhere
        ({1: output([4], [0.5]), 7: output([4], [0.9])}, 25.0, 50.0, 0.0),
        # overlaps below one half
        ({1: output([3, 4], [0.9, 0.8], shift=20.0)}, 0.0, 0.0, 0.0),
    ],
)
def test_metrics(dataset, outputs, full, rare, nonrare):
    metrics = run(HICODetEvaluator(dataset), outputs)
    assert metrics["mAP_default_full"] == pytest.approx(full)
    assert metrics["mAP_default_rare"] == pytest.approx(rare)
    assert metrics["mAP_default_nonrare"] == pytest.approx(nonrare)


@pytest.mark.parametrize(
    ("hois", "evaluated", "annotated"),
    [
        ([], None, None),  # nothing is annotated: there is no mean
        ([3, 4], [3, 4], None),  # nothing lacks: it would be the mean over all
        ([3, 4], [3, 4, 5, 6], 2),
        ([3, 4], None, 2),
    ],
)
def test_classes_without_ground_truth_get_a_mean_without_them(hois, evaluated, annotated):
    scorer = HICODetScorer([dataset_dict(1, hois)], VOCABULARY, evaluated_hois=evaluated)
    assert scorer.masks.get("annotated", np.zeros(0)).sum() == (annotated or 0)
    assert any("the means over the other 2" in w for w in scorer.warnings) == bool(annotated)


def test_known_object_ignores_images_without_the_object(dataset):
    metrics = run(HICODetEvaluator(dataset), {1: output([4], [0.5]), 7: output([4], [0.9])})
    assert metrics["mAP_default_rare"] == pytest.approx(50.0)
    assert metrics["mAP_known_object_rare"] == pytest.approx(100.0)


def test_an_image_seen_twice_counts_once(dataset):
    evaluator = HICODetEvaluator(dataset)
    evaluator.reset()
    seen = output([3, 4], [0.9, 0.8])
    inputs = [{"image_id": i} for i in (1, 2, 1)]
    evaluator.process(inputs, [seen, output([3], [0.85]), seen])
    assert evaluator.evaluate()["hico_det"]["mAP_default_full"] == pytest.approx(100.0)


def test_reset_forgets(dataset):
    evaluator = HICODetEvaluator(dataset)
    assert run(evaluator, {1: output([3, 4], [0.9, 0.8])})["mAP_default_full"] > 0
    assert run(evaluator, {1: output([], [])})["mAP_default_full"] == 0


@pytest.mark.parametrize("results_format", ["json", "npz"])
def test_output_folder(dataset, tmp_path, results_format):
    evaluator = HICODetEvaluator(dataset, output_dir=tmp_path, results_format=results_format)
    metrics = run(evaluator, {2: output([3], [0.7]), 1: output([3, 4], [0.9, 0.8])})
    results = read_results(tmp_path / f"hoi_results.{results_format}")
    assert results.image_ids.tolist() == [1, 1, 2]
    np.testing.assert_allclose(results.human_boxes, [PERSON] * 3, rtol=1e-6)
    written = json.loads((tmp_path / "hico_det_metrics.json").read_text())
    assert written == pytest.approx({f"hico_det/{k}": v for k, v in metrics.items()})
    lines = (tmp_path / "hico_det_per_class.csv").read_text().splitlines()
    assert len(lines) == 601 and lines[5].startswith("4,")


def test_unprocessed_images_are_reported(dataset, caplog):
    run(HICODetEvaluator(dataset), {1: output([3], [0.9])})
    assert "2 of 3 images were not processed (the first is 2)" in caplog.text
