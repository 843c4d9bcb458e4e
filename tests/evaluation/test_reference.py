"""Equality with the figures of the official tools on real annotations, to the last digit."""

from __future__ import annotations

import equality_table as table
import numpy as np
import pytest

from hoi_d2.data.vocabulary import hico_few_shot_hois
from hoi_d2.evaluation.image_level_metrics import few_shot_groups, read_image_labels


@pytest.mark.parametrize(
    "rows, count",
    [
        (table.hico_det_rows, 8),
        (table.peer_rows, 6),
        (table.subset_rows, 3),
        (table.vcoco_class_rows, 26 + 25 + 25),
        (table.vcoco_mean_rows, 5),
    ],
)
def test_every_figure_is_the_reference(test_data, rows, count):
    found = list(rows(test_data))
    assert len(found) == count
    assert [row for row in found if not row.equal] == []


@pytest.mark.parametrize("annotations", ["instances_test2015.json", "test_hico.json"])
def test_all_classes_from_every_form(test_data, annotations):
    scored = table.score_hico_det(
        test_data,
        annotations=annotations,
        image_labels_file=test_data / "hico_det" / "anno.mat",
    )
    with np.load(test_data / "reference" / "hico_det_ap_official.npz") as official:
        ap, recall = official["AP"], official["REC"]
    np.testing.assert_allclose(scored.details.ap_default, ap[:, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(scored.details.ap_known_object, ap[:, 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(scored.details.recall, recall[:, 0], rtol=0, atol=1e-12)


def test_vcoco_positives(test_data):
    scores = table.score_vcoco(test_data).details
    positives = table.expected(test_data, "vcoco_train/results.npz", "official")["positives"]
    assert dict(zip(scores.actions, scores.num_positives.tolist())) == positives


def test_hico_labels_and_few_shot_groups(test_data):
    train = read_image_labels(test_data / "hico_det" / "anno.mat", "train")
    groups = few_shot_groups((train.labels == 1).sum(axis=0))
    for count, hois in hico_few_shot_hois().items():
        assert groups[f"few{count}"].tolist() == list(hois)
    assert [len(g) for g in groups.values()] == [49, 125, 162]
