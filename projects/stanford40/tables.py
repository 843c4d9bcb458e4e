"""Tables and bars of the study, from its results alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from tabulate import tabulate

sys.path.append(str(Path(__file__).parents[1] / "evidence_rows"))  # whose tables look the same

from report import filled, grouped, spread

SHOTS = {"all": "all", "20": "20", "5": "5", "1": "1", "tail": "tail"}
_MARK = "<!-- {} -->\n"


def _cell(runs: list[dict], metric: str = "mAP") -> str:
    return spread([run["test"][metric] for run in runs]) if runs else "-"


def rows_table(runs: list[dict]) -> str:
    """mAP of rows and losses with ever fewer photographs."""
    by_shots = grouped(runs, "loss", "rows", "shots")
    lines = []
    for loss, rows in grouped(runs, "loss", "rows"):
        cells = [_cell(by_shots.get((loss, rows, shots), [])) for shots in SHOTS]
        lines.append([loss, rows, *cells, _cell(by_shots[loss, rows, "tail"], "few5")])
    headers = ["loss", "rows", *SHOTS.values(), "tail, few5"]
    return tabulate(lines, headers=headers, tablefmt="github")


def chosen_table(runs: list[dict]) -> str:
    """Steps and gamma that the validation photographs chose."""
    by_shots = grouped(runs, "loss", "rows", "shots")
    lines = []
    for loss, rows in grouped(runs, "loss", "rows"):
        first = [by_shots.get((loss, rows, shots), [None])[0] for shots in SHOTS]
        cells = [f"{r['steps']}, {r['gamma']:g}" if r else "-" for r in first]
        lines.append([loss, rows, *cells])
    return tabulate(lines, headers=["loss", "rows", *SHOTS.values()], tablefmt="github")


def accuracy_table(runs: list[dict]) -> str:
    """Accuracy with all photographs, and with one."""
    by_shots = grouped(runs, "loss", "rows", "shots")
    lines = [
        [
            *(loss, rows),
            *(_cell(by_shots.get((loss, rows, shots), []), "accuracy") for shots in SHOTS),
        ]
        for loss, rows in grouped(runs, "loss", "rows")
    ]
    return tabulate(lines, headers=["loss", "rows", *SHOTS.values()], tablefmt="github")


def masks_table(runs: list[dict]) -> str:
    """What the classifier sees, and what it was trained on."""
    lines = [
        [*key[:2], key[2] or "-", key[3], _cell(same), _cell(same, "accuracy")]
        for key, same in grouped(runs, "setting", "mask", "blocks", "trained").items()
    ]
    headers = ["image", "seen", "masked stages", "trained on", "mAP", "accuracy"]
    return tabulate(lines, headers=headers, tablefmt="github")


def maps_table(runs: list[dict]) -> str:
    """Where the activation maps have their highest cell."""
    lines = [
        [*key, *(spread([run[column] for run in same]) for column in ("person", "near"))]
        for key, same in grouped(runs, "map").items()
    ]
    headers = ["", "in the person's box", "in it or in an object that touches it"]
    return tabulate(lines, headers=headers, tablefmt="github")


def tuned_table(runs: list[dict]) -> str:
    """Frozen against the last block fine-tuned, of the same seeds."""
    lines = [
        [*key, len(same), *(_cell([r[kind] for r in same]) for kind in ("frozen", "tuned"))]
        for key, same in grouped(runs, "shots", "rows").items()
    ]
    headers = ["photographs", "rows", "seeds", "frozen", "last block trained"]
    return tabulate(lines, headers=headers, tablefmt="github")


def plot(runs: list[dict], path: Path) -> None:
    """mAP over the number of photographs: rows with LSE-Sign, and losses with MiniLM's rows."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), sharey=True)
    lines = grouped(runs, "loss", "rows", "shots")
    names = list(grouped(runs, "loss", "rows"))
    shown = [[n for n in names if n[0] == "LSE-Sign"], [n for n in names if n[1] == "MiniLM"]]
    for axis, some, part in zip(axes, shown, (1, 0)):
        for name in some:
            there = [place for place, shots in enumerate(SHOTS) if (*name, shots) in lines]
            same = [[r["test"]["mAP"] for r in lines[*name, list(SHOTS)[p]]] for p in there]
            means, spreads = np.mean(same, axis=1), np.std(same, axis=1)
            axis.errorbar(there, means, spreads, marker="o", ms=3, label=name[part])
        axis.set_xticks(range(len(SHOTS)), [f"{s} a class" if s.isdigit() else s for s in SHOTS])
        axis.legend(fontsize=8)
    axes[0].set_title("rows, LSE-Sign", fontsize=9)
    axes[1].set_title("losses, MiniLM's rows", fontsize=9)
    axes[0].set_ylabel("mAP, Stanford 40 test photographs")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def write_report(results: dict[str, Any], folder: Path) -> None:
    """Fills the tables of the folder's README.md, or makes one, and draws the plot."""
    tables: dict[str, tuple[Callable[[list[dict]], str], str]] = {
        "rows and losses": (rows_table, "rows"),
        "accuracy": (accuracy_table, "rows"),
        "chosen": (chosen_table, "rows"),
        "masks": (masks_table, "masks"),
        "fine-tuned": (tuned_table, "tuned"),
        "activation maps": (maps_table, "maps"),
    }
    page = folder / "README.md"
    empty = "".join(f"{_MARK.format(n)}{_MARK.format(f'end of {n}')}\n" for n in tables)
    text = page.read_text() if page.exists() else empty
    for name, (table, key) in tables.items():
        text = filled(text, name, table(results[key]))
    page.write_text(text)
    plot(results["rows"], folder / "rows.png")
