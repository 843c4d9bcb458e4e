"""Plots the causes of errors: the points of AP that each costs, and its frequency."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hoi_d2.evaluation.error_analysis import ErrorAnalysis
from hoi_d2.evaluation.result_files import write_csv


def plot_errors(path: str | Path, analysis: ErrorAnalysis, *, title: str = "") -> None:
    """Plots the analysis, and writes its numbers to a file of the same name with the suffix .csv.

    Args:
        path: of the image; the suffix chooses the format (PNG, SVG, PDF).
        analysis: of `analyze_errors`.
        title: heading; the mean AP is added.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    names, costs = list(analysis.costs), list(analysis.costs.values())
    figure = Figure(figsize=(7.5, 0.45 * len(names) + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    bars = axes.barh(names, costs, color="#2e86ab")
    labels = [f"{c:+.2f}  ({analysis.counts[n]:,})" for n, c in analysis.costs.items()]
    axes.bar_label(bars, labels, padding=4, fontsize=9)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    low, high = min(0.0, *costs), max(1.0, *costs)
    axes.set_xlim(low - 0.05 * (high - low) * (low < 0), high + 0.35 * (high - low))
    axes.set_xlabel("points of mean AP gained if corrected (how many)")
    axes.set_title(f"{title}  mAP {analysis.mean_ap:.2f}".strip())
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    rows = [(n, round(c, 6), analysis.counts[n]) for n, c in analysis.costs.items()]
    write_csv(path.with_suffix(".csv"), ("cause", "cost_in_AP", "count"), rows)
