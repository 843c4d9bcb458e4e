"""Figures of an evaluation, each as PNG and as CSV with the plotted values. AP is in percent."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

RARE_COLOR, USUAL_COLOR, MEAN_COLOR = "#d1495b", "#2e86ab", "#222222"
_NAMED_BARS = 40
_SAMPLE_BINS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def save_figure(figure: Figure, path: str | Path, columns: Mapping[str, Any]) -> None:
    """Writes a figure, and its values to a file of the same name with the suffix .csv.

    Args:
        figure: any matplotlib figure.
        path: of the image; the suffix chooses the format (PNG, SVG, PDF).
        columns: name -> values, all of one length; NaN and None become empty fields.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120)
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_field(v) for v in row] for row in zip(*columns.values(), strict=True))


def plot_class_ap(
    path: str | Path,
    names: Sequence[str],
    ap: np.ndarray,
    *,
    rare: Sequence[bool] | np.ndarray | None = None,
    title: str = "AP of each class",
) -> None:
    """Plots AP of all classes as bars, best first; many classes as an outline.

    Args:
        path: of the PNG; the CSV has all classes.
        names: (C,) class names.
        ap: (C,) percent; NaN = no ground truth, left out.
        rare: (C,) drawn in another colour.
        title: heading.
    """
    is_rare = np.zeros(len(ap), dtype=bool) if rare is None else np.asarray(rare, dtype=bool)
    order = np.argsort(-np.where(np.isnan(ap), -1, ap), kind="stable")
    order = order[~np.isnan(ap[order])]
    names, values = [names[i].replace("_", " ") for i in order.tolist()], ap[order]
    is_rare = is_rare[order]
    columns = {"class": names, "AP": values, "rare": is_rare.astype(int)}
    mean = f"{title}: mean {values.mean():.2f} of {len(values)}" if len(values) else title
    if len(values) <= _NAMED_BARS:
        figure = Figure(figsize=(9, 1.2 + 0.22 * max(len(values), 3)), layout="constrained")
        axes = figure.subplots()
        _named_bars(axes, names, values, is_rare)
        if is_rare.any():
            handles = [
                Patch(color=USUAL_COLOR, label="non-rare"),
                Patch(color=RARE_COLOR, label="rare"),
            ]
            axes.legend(handles=handles, loc="lower right")
    else:
        figure = Figure(figsize=(12, 9), layout="constrained")
        panels = figure.subplot_mosaic("AA;BC", height_ratios=(2, 3))
        _skyline(panels["A"], values, is_rare)
        half = _NAMED_BARS // 2
        for key, part, what in (("B", slice(half), "best"), ("C", slice(-half, None), "worst")):
            _named_bars(panels[key], names[part], values[part], is_rare[part])
            panels[key].set_title(f"the {half} {what}")
    figure.suptitle(mean)
    save_figure(figure, path, columns)


def _named_bars(axes: Axes, names: Sequence[str], ap: np.ndarray, rare: np.ndarray) -> None:
    places = np.arange(len(ap))
    axes.barh(places, ap, color=np.where(rare, RARE_COLOR, USUAL_COLOR))
    axes.set(yticks=places, yticklabels=names, xlabel="AP", xlim=(0, 100))
    axes.tick_params(axis="y", labelsize=8)
    axes.set_ylim(len(ap) - 0.4, -0.6)
    for place, value in enumerate(ap):
        side = "right" if value > 90 else "left"
        shift = -0.7 if value > 90 else 0.7
        axes.text(value + shift, place, f"{value:.1f}", va="center", ha=side, fontsize=7)


def _skyline(axes: Axes, ap: np.ndarray, rare: np.ndarray) -> None:
    places = np.arange(len(ap))
    for chosen, color, label in ((~rare, USUAL_COLOR, "non-rare"), (rare, RARE_COLOR, "rare")):
        if chosen.any():
            label = f"{label}: mean {ap[chosen].mean():.2f} of {chosen.sum()}"
            axes.bar(places[chosen], ap[chosen], width=1.0, color=color, label=label)
    axes.axhline(ap.mean(), color=MEAN_COLOR, linewidth=1, linestyle="--")
    axes.set(xlabel="classes, best first", ylabel="AP", xlim=(-0.5, len(ap) - 0.5), ylim=(0, 100))
    axes.legend()


def plot_ap_by_samples(
    path: str | Path,
    names: Sequence[str],
    ap: np.ndarray,
    num_samples: np.ndarray,
    *,
    rare: Sequence[bool] | np.ndarray | None = None,
    title: str = "AP and number of training samples",
) -> None:
    """Plots AP over the number of training samples, one dot per class, and the mean of each bin.

    Args:
        path: of the PNG; the CSV has all classes.
        names: (C,).
        ap: (C,) percent; NaN = no ground truth, left out.
        num_samples: (C,) training pairs of each class.
        rare: (C,) drawn in another colour.
        title: heading.
    """
    known = ~np.isnan(ap)
    is_rare = np.zeros(len(ap), dtype=bool) if rare is None else np.asarray(rare, dtype=bool)
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    for chosen, color, label in (
        (known & ~is_rare, USUAL_COLOR, "non-rare"),
        (known & is_rare, RARE_COLOR, "rare"),
    ):
        if chosen.any():
            axes.scatter(num_samples[chosen], ap[chosen], s=12, alpha=0.6, color=color, label=label)
    _bin_means(axes, ap[known], num_samples[known])
    axes.set_xscale("symlog", linthresh=1)
    axes.set(xlabel="training samples of the class", ylabel="AP", ylim=(-2, 102), title=title)
    fewest = num_samples[known].min(initial=num_samples.max(initial=1))
    axes.set_xlim(left=0.7 * fewest if fewest else -0.2)
    axes.grid(alpha=0.3)
    if known.any():
        axes.legend()
    columns = {
        "class": names,
        "training_samples": num_samples,
        "AP": ap,
        "rare": is_rare.astype(int),
    }
    save_figure(figure, path, columns)


def _bin_means(axes: Axes, ap: np.ndarray, num_samples: np.ndarray) -> None:
    """Draws the mean AP and the number of classes of each bin of sample counts."""
    edges = np.array([0, *_SAMPLE_BINS, np.inf])
    for low, high in itertools.pairwise(edges):
        inside = (num_samples >= low) & (num_samples < high)
        if inside.any():
            mean = ap[inside].mean()
            right = min(high, num_samples.max() * 1.2 + 1)
            axes.plot([low, right], [mean, mean], color=MEAN_COLOR, linewidth=2)
            place = np.sqrt(max(low, 0.3) * max(right, 0.5))
            axes.annotate(
                f"{mean:.0f}\n({inside.sum()})",
                (place, mean),
                textcoords="offset points",
                xytext=(0, 3),
                ha="center",
                fontsize=8,
                bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
            )


def _field(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return "" if value is None or value != value else value
