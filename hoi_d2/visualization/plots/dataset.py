"""Figures of a data set: class frequencies, pairs per image, box sizes, verb-object matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from hoi_d2.data.statistics import DatasetStatistics
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.visualization.plots.evaluation import RARE_COLOR, USUAL_COLOR, save_figure

_RARE_LIMIT = 10
_NAMED = 12


def plot_class_frequencies(
    path: Path, names: list[str], counts: np.ndarray, *, title: str = "Interactions of each class"
) -> None:
    """Plots the classes by frequency on a logarithmic scale, with names at both ends.

    Args:
        path: of the PNG; the CSV next to it has all classes.
        names: (C,).
        counts: (C,) interactions; classes without any are only in the CSV.
        title: heading.
    """
    order = np.argsort(-counts, kind="stable")
    shown = order[counts[order] > 0]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel="class, by frequency", ylabel="interactions")
    if len(shown):
        values = counts[shown]
        colors = np.where(values < _RARE_LIMIT, RARE_COLOR, USUAL_COLOR)
        axes.bar(np.arange(len(shown)), values, width=1.0, color=colors)
        axes.set_yscale("log")
        axes.axhline(_RARE_LIMIT, color=RARE_COLOR, linewidth=0.8, linestyle="--")
        plain = [names[i].replace("_", " ") for i in shown]
        most = "\n".join(f"{n}  {v:,}" for n, v in zip(plain[:_NAMED], values))
        axes.text(0.99, 0.97, most, transform=axes.transAxes, ha="right", va="top", fontsize=8)
        few = int((values < _RARE_LIMIT).sum())
        axes.set_title(f"{title}: {len(shown)} occur, {few} of them fewer than {_RARE_LIMIT} times")
    columns = {"class": [names[i] for i in order], "interactions": counts[order].tolist()}
    save_figure(figure, path, columns)


def plot_pairs_per_image(path: Path, statistics: DatasetStatistics) -> None:
    """Plots the number of pairs per image and of verbs per pair.

    Args:
        path: of the PNG; the CSV has both histograms.
        statistics: of the data set.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    histograms = []
    panels = (
        ("pairs in an image", statistics.pairs_per_image, "images"),
        ("verbs of a pair", statistics.verbs_per_pair, "pairs"),
    )
    for axes, (name, values, what) in zip(figure.subplots(1, 2), panels):
        counts = np.bincount(values)
        end = max(1, int(np.searchsorted(np.cumsum(counts), 0.995 * counts.sum())) + 1)
        axes.bar(np.arange(min(end, len(counts))), counts[:end], color=USUAL_COLOR)
        rest = int(counts[end:].sum())
        axes.set(title=f"{name}: {rest} beyond the right edge" if rest else name, ylabel=what)
        axes.set_xlabel(name)
        histograms += [(name, i, int(c)) for i, c in enumerate(counts) if c]
    keys = ("what", "number", "count")
    save_figure(figure, path, dict(zip(keys, zip(*histograms) if histograms else ([], [], []))))


def plot_box_sizes(path: Path, statistics: DatasetStatistics) -> None:
    """Plots the side of boxes (square root of the area) of persons and of objects.

    Args:
        path: of the PNG; the CSV has the histogram.
        statistics: of the data set.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    edges = np.geomspace(4, 2048, 46)
    columns: dict[str, list] = {"from_pixels": edges[:-1].round(1).tolist()}
    series = (("persons", statistics.human_sizes), ("objects", statistics.object_sizes))
    for (name, values), color in zip(series, (RARE_COLOR, USUAL_COLOR)):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        axes.stairs(counts, edges, label=f"{name} ({len(values):,})", color=color, linewidth=1.8)
        columns[name] = counts.tolist()
    for limit, name in ((32, "small"), (96, "medium")):
        axes.axvline(limit, color="#888888", linewidth=0.8, linestyle=":")
        axes.text(limit, 1.0, f"{name} ", ha="right", va="top", fontsize=8, color="#666666",
                  transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set(xscale="log", xlabel="side of the box in pixels", ylabel="boxes", title="Box sizes")
    axes.legend()
    save_figure(figure, path, columns)


def plot_verb_object_matrix(
    path: Path, statistics: DatasetStatistics, vocabulary: Vocabulary
) -> None:
    """Plots the frequency of each combination of verb and object that occurs.

    Args:
        path: of the PNG; the CSV has every combination that occurs.
        statistics: of the data set.
        vocabulary: its classes.
    """
    matrix = statistics.verb_object
    verbs, objects = (np.flatnonzero(matrix.sum(axis=a)) for a in (1, 0))
    verbs = verbs[np.argsort(-matrix[verbs].sum(axis=1), kind="stable")]
    objects = objects[np.argsort(-matrix[:, objects].sum(axis=0), kind="stable")]
    height, width = 1.8 + 0.15 * len(verbs), 3 + 0.17 * len(objects)
    figure = Figure(figsize=(max(5.0, width), max(3.0, height)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title("Interactions of each verb and object")
    if len(verbs):
        shown = np.where(matrix > 0, matrix, np.nan)[np.ix_(verbs, objects)]
        norm = LogNorm(1, max(2, int(matrix.max())))
        image = axes.imshow(shown, norm=norm, cmap="viridis", aspect="auto")
        names = [vocabulary.objects[i].replace("_", " ") for i in objects]
        axes.set_xticks(np.arange(len(objects)), names, rotation=90, fontsize=7)
        labels = [vocabulary.verbs[i].replace("_", " ") for i in verbs]
        axes.set_yticks(np.arange(len(verbs)), labels, fontsize=7)
        figure.colorbar(image, ax=axes, shrink=0.6, label="interactions")
    rows = [
        (vocabulary.verbs[v], vocabulary.objects[o], int(matrix[v, o]))
        for v, o in np.argwhere(matrix)
    ]
    keys = ("verb", "object", "interactions")
    save_figure(figure, path, dict(zip(keys, zip(*rows) if rows else ([], [], []))))
