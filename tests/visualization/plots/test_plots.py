import csv

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from hoi_d2.visualization.plots.curves import (
    PrecisionRecall,
    calibration_bins,
    expected_calibration_error,
    plot_calibration,
    plot_precision_recall,
)
from hoi_d2.visualization.plots.evaluation import plot_ap_by_samples, plot_class_ap, save_figure


def read_csv(png):
    with png.with_suffix(".csv").open(newline="") as file:
        return list(csv.DictReader(file))


def is_image(png):
    with Image.open(png) as image:
        return image.format == "PNG" and np.asarray(image.convert("L")).std() > 1


def test_save_figure(tmp_path):
    save_figure(
        Figure(), tmp_path / "new" / "a.png", {"x": [1, None], "y": [np.nan, np.float32(2)]}
    )
    assert read_csv(tmp_path / "new" / "a.png") == [{"x": "1", "y": ""}, {"x": "", "y": "2.0"}]
    with pytest.raises(ValueError, match="argument"):
        save_figure(Figure(), tmp_path / "a.png", {"x": [1], "y": []})


@pytest.mark.parametrize("num", [0, 1, 40, 41, 600])
def test_class_ap(num, tmp_path):
    ap = np.random.default_rng(0).uniform(0, 100, num)
    names, rare = [f"ride_{c}" for c in range(num)], np.arange(num) % 3 == 0
    if num > 1:
        ap[1] = np.nan
    plot_class_ap(tmp_path / "a.png", names, ap, rare=rare)
    assert is_image(tmp_path / "a.png")
    rows = read_csv(tmp_path / "a.png")
    assert len(rows) == num - (num > 1)
    written = [float(row["AP"]) for row in rows]
    assert written == sorted(ap[~np.isnan(ap)], reverse=True)
    for row in rows:
        c = int(row["class"].removeprefix("ride "))
        assert float(row["AP"]) == ap[c] and int(row["rare"]) == rare[c]


@pytest.mark.parametrize("num", [0, 1, 200])
def test_ap_by_samples(num, tmp_path):
    rng = np.random.default_rng(0)
    ap, samples = rng.uniform(0, 100, num), rng.integers(0, 3000, num)
    plot_ap_by_samples(tmp_path / "a.png", [str(c) for c in range(num)], ap, samples)
    assert is_image(tmp_path / "a.png")
    rows = read_csv(tmp_path / "a.png")
    assert [int(row["training_samples"]) for row in rows] == samples.tolist()
    assert [float(row["AP"]) for row in rows] == ap.tolist()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num", [0, 1, 60])
def test_precision_and_recall_against_counting(seed, num):
    rng = np.random.default_rng(seed)
    scores, hits = rng.integers(0, 9, num) / 8, rng.random(num) < 0.4
    curve = PrecisionRecall.of(scores, hits, 30)
    assert curve.scores.tolist() == sorted(set(scores.tolist()), reverse=True)
    for score, precision, recall in zip(curve.scores, curve.precision, curve.recall, strict=True):
        at_least = scores >= score
        assert precision == pytest.approx(hits[at_least].mean())
        assert recall == pytest.approx(hits[at_least].sum() / 30)


def test_recall_without_positives_is_0():
    curve = PrecisionRecall.of(np.array([0.5]), np.array([False]), 0)
    assert curve.recall.tolist() == [0.0]


def test_precision_recall_figure(tmp_path):
    rng = np.random.default_rng(0)
    scores, hits = rng.random(5000), rng.random(5000) < 0.5
    curve = PrecisionRecall.of(scores, hits, 3000)
    plot_precision_recall(
        tmp_path / "a.png", {"all": curve, "none": PrecisionRecall.of(scores[:0], hits[:0], 3)}
    )
    assert is_image(tmp_path / "a.png")
    rows = read_csv(tmp_path / "a.png")
    assert 1900 < len(rows) <= 2000  # thinned, both ends kept
    assert float(rows[0]["score"]) == scores.max() and float(rows[-1]["score"]) == scores.min()
    plot_precision_recall(tmp_path / "empty.png", {})
    assert read_csv(tmp_path / "empty.png") == []


@pytest.mark.parametrize(
    ("scores", "hits", "error"),
    [
        ([], [], float("nan")),
        ([0.25] * 4, [1, 0, 0, 0], 0.0),
        ([0.9] * 2, [0, 0], 0.9),
        ([0.1, 0.95], [0, 1], 0.075),
        ([1.0, 0.0], [1, 0], 0.0),  # both ends are in a bin
    ],
)
def test_calibration(scores, hits, error, tmp_path):
    scores, hits = np.array(scores, dtype=float), np.array(hits, dtype=bool)
    bins = calibration_bins(scores, hits, num_bins=10)
    assert bins["count"].sum() == len(scores)
    assert expected_calibration_error(bins) == pytest.approx(error, nan_ok=True)
    plot_calibration(tmp_path / "a.png", scores, hits)
    assert is_image(tmp_path / "a.png") and len(read_csv(tmp_path / "a.png")) == 15
