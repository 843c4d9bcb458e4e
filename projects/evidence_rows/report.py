"""Tables and plot of the study, from its results alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from tabulate import tabulate

FEW = {"few1": 1, "few5": 5, "few10": 10}
SPLITS = ("rf_uc", "nf_uc", "uo", "uv")
CLOSED, OPEN = ("all", "rare", *FEW), ("unseen", "seen", "all")
_MARK = "<!-- {} -->\n"


def grouped(runs: list[dict], *keys: str) -> dict[tuple, list[dict]]:
    """The runs that differ in their seed alone, in the order of their first one."""
    result: dict[tuple, list[dict]] = {}
    for run in runs:
        result.setdefault(tuple(run[key] for key in keys), []).append(run)
    return result


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=min(1, len(values) - 1)):.2f}"


def _cells(runs: list[dict], columns: tuple[str, ...]) -> list[str]:
    return [spread([run["test"][column] for run in runs]) for column in columns]


def rows_table(runs: list[dict]) -> str:
    """Rows and losses, in Markdown."""
    lines = [
        [loss, rows, same[0]["gamma"], *_cells(same, CLOSED)]
        for (loss, rows), same in grouped(runs, "loss", "rows").items()
    ]
    return tabulate(lines, headers=["loss", "rows", "gamma", *CLOSED], tablefmt="github")


def gamma_table(runs: list[dict]) -> str:
    """The validation scores that gamma was chosen by."""
    first = [same[0] for same in grouped(runs, "loss", "rows").values()]
    gammas = list(first[0]["val"])
    lines = [
        [run["loss"], run["rows"], *(f"{run['val'][g]['all']:.2f}" for g in gammas)]
        for run in first
    ]
    headers = ["loss", "rows", *(f"gamma {g}" for g in gammas)]
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def unseen_table(runs: list[dict]) -> str:
    """Unseen classes, in Markdown."""
    lines = [
        [split, rows, *_cells(same, OPEN)]
        for (split, rows), same in grouped(runs, "split", "rows").items()
    ]
    return tabulate(lines, headers=["split", "rows", *OPEN], tablefmt="github")


def plot(results: dict[str, Any], path: Path) -> None:
    """Left: all classes; middle: one training image at most; right: unseen classes."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6))
    closed = grouped(results["rows"], "loss", "rows")
    for axis, column in zip(axes, ("all", "few1")):
        _bars(axis, closed, column)
        axis.set_title(f"{column} classes, HICO-DET test, annotated boxes", fontsize=9)
    _bars(axes[2], grouped(results["unseen"], "split", "rows"), "unseen")
    axes[2].set_title("unseen classes, LSE-Sign", fontsize=9)
    axes[0].set_ylabel("mAP")
    for axis in axes[::2]:
        axis.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _bars(axis: plt.Axes, groups: dict[tuple, list[dict]], column: str) -> None:
    """A group of bars for each first key, a bar for each second one, a dot for each seed.

    A combination that was not run leaves a gap.
    """
    firsts, seconds = (list(dict.fromkeys(key[i] for key in groups)) for i in (0, 1))
    width, seeds = 0.8 / len(seconds), max(map(len, groups.values()))
    for place, second in enumerate(seconds):
        values = [
            [run["test"][column] for run in groups.get((first, second), [])] or [np.nan] * seeds
            for first in firsts
        ]
        x = np.arange(len(firsts)) + (place - (len(seconds) - 1) / 2) * width
        axis.bar(x, np.mean(values, axis=1), width * 0.92, label=second, alpha=0.8)
        axis.plot(np.repeat(x, len(values[0])), np.ravel(values), "k.", markersize=2)
    axis.set_ylim(top=1.3 * axis.get_ylim()[1])  # for the legend
    axis.set_xticks(range(len(firsts)), firsts, fontsize=8)


def filled(page: str, name: str, table: str) -> str:
    """The page with a table between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    start, end = _MARK.format(name), _MARK.format(f"end of {name}")
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no marks {start.strip()} and {end.strip()}")
    return before + start + table + "\n" + end + after


def write_report(results: dict[str, Any], folder: Path) -> None:
    """Fills the tables of the folder's README.md, or makes one, and draws the plot."""
    tables = {
        "rows and losses": rows_table(results["rows"]),
        "gamma": gamma_table(results["rows"]),
        "unseen classes": unseen_table(results["unseen"]),
    }
    fill_page(folder / "README.md", tables)
    plot(results, folder / "rows.png")


def fill_page(page: Path, tables: Mapping[str, str]) -> None:
    """Replaces the tables of a page, by name; makes a page of nothing else if there is none."""
    empty = "".join(f"{_MARK.format(n)}{_MARK.format(f'end of {n}')}\n" for n in tables)
    text = page.read_text() if page.exists() else empty
    for name, table in tables.items():
        text = filled(text, name, table)
    page.write_text(text)
