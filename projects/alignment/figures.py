"""Plot of the study, from its results alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from tables import KEYS, grouped, label


def plot(results: dict[str, Any], path: Path) -> None:
    """Left and middle: what variants have more than *none*; right: unseen classes."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), width_ratios=(1, 1, 1.2))
    closed = [*results["levels"], *results["choices"]]
    for axis, column in zip(axes, ("all", "rare")):
        _differences(axis, closed, column)
        axis.set_title(f"{column} classes: mAP more than without language", fontsize=9)
    axes[1].set_yticklabels([])
    _unseen(axes[2], results["unseen"])
    axes[2].set_title("unseen classes: mAP", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _differences(axis: plt.Axes, rows: list[dict], column: str) -> None:
    """A dot for each seed, a bar for their mean."""
    base = {row["seed"]: row["test"][column] for row in rows if row["level"] == "none"}
    groups = [same for same in grouped(rows, *KEYS).values() if same[0]["level"] != "none"]
    for place, same in enumerate(reversed(groups)):
        more = [row["test"][column] - base[row["seed"]] for row in same]
        axis.barh(place, np.mean(more), color="tab:blue", alpha=0.5)
        axis.plot(more, [place] * len(more), "k.", markersize=4)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(groups)), [label(same[0]) for same in reversed(groups)], fontsize=8)


def _unseen(axis: plt.Axes, rows: list[dict]) -> None:
    """Groups of bars for each split: a bar for each variant, and one with its text asked."""
    splits = list(dict.fromkeys(row["split"] for row in rows))
    bars = [(name, part) for name in _names(rows) for part in ("test", "test_text")]
    bars = [(name, part) for name, part in bars if name != "none" or part == "test"]
    for number, (name, part) in enumerate(bars):
        values = [
            [r[part]["unseen"] for r in rows if (r["split"], label(r)) == (split, name)]
            for split in splits
        ]
        x = np.arange(len(splits)) + (number - (len(bars) - 1) / 2) * 0.8 / len(bars)
        shown = name if part == "test" else f"{name}, text asked"
        axis.bar(x, [np.mean(v) for v in values], 0.75 / len(bars), label=shown, alpha=0.8)
        for place, some in zip(x, values):
            axis.plot([place] * len(some), some, "k.", markersize=3)
    axis.set_xticks(range(len(splits)), splits, fontsize=8)
    axis.legend(fontsize=7)


def _names(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(label(row) for row in rows))
