"""Over-sampling: the guarantee and the release's rule, also on HICO's real labels."""

from itertools import islice

import numpy as np
import pytest
import torch

from hoi_d2.data.datasets.hico import read_image_labels
from hoi_d2.data.loading.stream import endless_indices
from hoi_d2.data.samplers import RULES, label_counts, label_table, oversampling_repeats
from hoi_d2.data.vocabulary import hico_det_vocabulary, hico_few_shot_hois


def per_class(labels, repeats):
    return repeats @ (labels == 1)


@pytest.fixture(scope="module")
def hico_labels(real_data):
    return read_image_labels(real_data / "hico_det" / "anno.mat", "train")[1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (4, 0)])
def test_nothing_to_repeat(shape):
    assert oversampling_repeats(np.zeros(shape, np.int8)).tolist() == [1] * shape[0]


@pytest.mark.parametrize(
    "positives, guarantee, release",
    [(1, 40, 40), (2, 20, 20), (19, 3, 3), (20, 2, 1), (39, 2, 1), (40, 1, 1), (500, 1, 1)],
)
def test_repeats_of_one_class(positives, guarantee, release):
    labels = np.full((600, 1), -1, np.int8)
    labels[:positives] = 1
    for rule, repeats in (("guarantee", guarantee), ("release", release)):
        result = oversampling_repeats(labels, rule=rule)
        assert set(result[:positives].tolist()) == {repeats}
        assert set(result[positives:].tolist()) == {1}


def test_the_neediest_class_of_an_image_decides_and_other_labels_do_not():
    labels = np.array([[1, 1, 0], [1, -1, -2], [1, -2, 0], [1, 0, -1]], np.int8)
    assert oversampling_repeats(labels, min_per_class=8).tolist() == [8, 2, 2, 2]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("minimum", [1, 7, 40])
def test_guarantee_on_random_labels(seed, minimum):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((80, 30)) < rng.random(30) ** 3, 1, -1).astype(np.int8)
    samples = per_class(labels, oversampling_repeats(labels, min_per_class=minimum))
    assert (samples[(labels == 1).any(axis=0)] >= minimum).all()


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="guarantee"):
        oversampling_repeats(np.zeros((1, 1)), rule="paper")


def test_real_hico_reaches_forty_in_each_class(hico_labels):
    counts = label_counts(hico_labels)
    assert counts.images == 38118 and counts.positives.sum() == 70373
    for limit, hois in hico_few_shot_hois().items():
        assert sorted(hois) == np.flatnonzero(counts.positives <= limit).tolist()
    repeats = oversampling_repeats(hico_labels)
    samples = per_class(hico_labels, repeats)
    assert (samples[counts.positives > 0] >= 40).all()
    assert (counts.positives == 0).sum() == 0


def test_real_hico_under_the_releases_rule(hico_labels):
    positives = label_counts(hico_labels).positives
    samples = per_class(hico_labels, oversampling_repeats(hico_labels, rule="release"))
    assert (samples[(positives > 0) & (positives < 20)] >= 40).all()
    below = samples < 40
    assert below.any() and (positives[below] >= 20).all() and (positives[below] < 40).all()


@pytest.mark.parametrize("rule", RULES)
def test_a_pass_of_the_stream_is_an_epoch(rule):
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((50, 9)) < 0.1, 1, -1).astype(np.int8)
    repeats = oversampling_repeats(labels, rule=rule)
    factors = torch.as_tensor(repeats, dtype=torch.float32)
    stream = endless_indices(size=50, seed=3, repeat_factors=factors)
    for _ in range(2):
        indices = list(islice(stream, int(repeats.sum())))
        assert np.bincount(indices, minlength=50).tolist() == repeats.tolist()


def test_labels_of_pairs():
    vocabulary = hico_det_vocabulary()
    record = {"hoi_annotations": [{"human": 0, "object": 1, "verb": 4, "hoi": 0}]}
    table = label_table([record], vocabulary)
    assert table.shape == (1, 600) and table[0, 0] == 1 and table[0, 599] == -2
    assert label_table([], vocabulary).shape == (0, 600)
