"""Precision, recall and calibration of scored detections, as figures with CSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hoi_d2.visualization.plots.evaluation import MEAN_COLOR, USUAL_COLOR, save_figure


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Precision and recall by descending score.

    Args:
        scores: (D,) the distinct scores, descending.
        precision: (D,) of all detections with at least that score.
        recall: (D,).
    """

    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, hits: np.ndarray, num_positives: int) -> PrecisionRecall:
        """Returns the curve of (R,) scored detections; recall is 0 where there are no positives."""
        order = np.argsort(-scores, kind="stable")
        scores, found = scores[order], np.cumsum(hits[order])
        last = np.flatnonzero(np.append(scores[1:] != scores[:-1], len(scores) > 0))
        precision = found[last] / (last + 1)
        return cls(scores[last], precision, found[last] / max(num_positives, 1))


def plot_precision_recall(
    path: str | Path,
    curves: Mapping[str, PrecisionRecall],
    *,
    title: str = "precision and recall",
) -> None:
    """Plots precision over recall, and recall over the score threshold, one line per curve.

    Args:
        path: path of the PNG; the CSV has the columns curve, score, precision, recall.
        curves: name -> curve; e.g. all classes, rare ones, a single class.
        title: heading.
    """
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    columns: dict[str, list] = {"curve": [], "score": [], "precision": [], "recall": []}
    for name, curve in curves.items():
        left.plot(curve.recall, curve.precision, label=name)
        right.plot(curve.scores, curve.recall, label=name)
        for row in _thin(np.arange(len(curve.scores))):
            values = (name, curve.scores[row], curve.precision[row], curve.recall[row])
            for column, value in zip(columns.values(), values):
                column.append(value)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    right.set(xlabel="score threshold", ylabel="recall", ylim=(0, 1.02))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    if curves:
        left.legend(fontsize=8)
    figure.suptitle(title)
    save_figure(figure, path, columns)


def _thin(rows: np.ndarray, limit: int = 2000) -> np.ndarray:
    """Returns at most `limit` rows, including both ends, so that spreadsheets can open the CSV."""
    if len(rows) <= limit:
        return rows
    return rows[np.unique(np.linspace(0, len(rows) - 1, limit).round().astype(int))]


def calibration_bins(
    scores: np.ndarray, hits: np.ndarray, *, num_bins: int = 15
) -> dict[str, np.ndarray]:
    """Computes the share of hits in bins of equal width of the score, 0..1.

    Returns:
        (B,) `low`, `high`, `count`, `score` (mean, NaN in an empty bin) and `precision`.
    """
    place = np.clip((scores * num_bins).astype(int), 0, num_bins - 1)
    count = np.bincount(place, minlength=num_bins)
    edges = np.linspace(0, 1, num_bins + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.bincount(place, weights=scores, minlength=num_bins) / count
        precision = np.bincount(place, weights=hits, minlength=num_bins) / count
    return {
        "low": edges[:-1],
        "high": edges[1:],
        "count": count,
        "score": score,
        "precision": precision,
    }


def expected_calibration_error(bins: Mapping[str, np.ndarray]) -> float:
    """Mean |precision - score| over detections, by bins; NaN without detections."""
    gap = np.nan_to_num(np.abs(bins["precision"] - bins["score"]))
    total = bins["count"].sum()
    return float((gap * bins["count"]).sum() / total) if total else float("nan")


def plot_calibration(
    path: str | Path, scores: np.ndarray, hits: np.ndarray, *, title: str = "calibration"
) -> None:
    """Plots precision over score, with counts below; a calibrated 0.7 is right in 7 of 10 cases.

    Args:
        path: of the PNG; the CSV has a row per bin.
        scores: (R,) in 0..1.
        hits: (R,) bool.
        title: heading.
    """
    bins = calibration_bins(scores, hits)
    width = bins["high"] - bins["low"]
    figure = Figure(figsize=(6, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=MEAN_COLOR, linewidth=1, linestyle="--")
    upper.bar(bins["low"], np.nan_to_num(bins["precision"]), width, align="edge", color=USUAL_COLOR)
    error = expected_calibration_error(bins)
    upper.set(ylabel="share of hits", ylim=(0, 1), title=f"{title}: expected error {error:.3f}")
    lower.bar(bins["low"], bins["count"], width, align="edge", color="#999999")
    lower.set(xlabel="score", ylabel="detections", xlim=(0, 1))
    if bins["count"].any():
        lower.set_yscale("symlog")
    save_figure(figure, path, bins)
