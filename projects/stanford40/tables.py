"""Tables and bars of the study, from its results alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from tabulate import tabulate

sys.path.append(str(Path(__file__).parents[1] / "evidence_rows"))  # whose tables look the same

from report import fill_page, grouped, spread

SHOTS = {"all": "all", "20": "20", "5": "5", "1": "1", "tail": "tail"}


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
    """What is trained, with which rows."""
    lines = []
    for (shots, rows, trained), same in grouped(runs, "shots", "rows", "trained").items():
        share = f"1/{1 / same[0]['share']:.0f}" if trained != "nothing" else "-"
        few5 = _cell(same, "few5") if "few5" in same[0]["test"] else "-"
        cells = [_cell(same), few5, _cell(same, "accuracy")]
        lines.append([shots, rows, trained, share, same[0]["steps"], *cells])
    headers = ["photographs", "rows", "trained", "share of the rate", "steps", "mAP", "few5"]
    return tabulate(lines, headers=[*headers, "accuracy"], tablefmt="github")


def gains_table(runs: list[dict]) -> str:
    """Differences of mAP of the same seed: to the frozen encoder, and to random rows."""
    scores = {(r["shots"], r["rows"], r["trained"], r["seed"]): r["test"]["mAP"] for r in runs} | {
        ("tail, few5", r["rows"], r["trained"], r["seed"]): r["test"]["few5"]
        for r in runs
        if "few5" in r["test"]
    }

    def gains(shots: str, rows: str, trained: str, *other: str) -> str:
        seeds = dict.fromkeys(run["seed"] for run in runs)
        pairs = [((shots, rows, trained, seed), (shots, *other, seed)) for seed in seeds]
        if any(key not in scores for pair in pairs for key in pair):
            return "-"
        return ", ".join(f"{scores[one] - scores[two]:+.1f}" for one, two in pairs)

    lines = []
    for shots, rows, trained in dict.fromkeys(key[:3] for key in scores):
        frozen = "-" if trained == "nothing" else gains(shots, rows, trained, rows, "nothing")
        random = "-" if rows == "random" else gains(shots, rows, trained, "random", trained)
        lines.append([shots, rows, trained, frozen, random])
    headers = ["photographs", "rows", "trained", "over the frozen encoder", "over random rows"]
    return tabulate(sorted(lines, key=lambda line: line[0]), headers=headers, tablefmt="github")


def drift_table(runs: list[dict]) -> str:
    """What training moved."""
    lines = []
    for key, same in grouped(runs, "shots", "rows", "trained").items():
        found = {
            name: [r["test"]["drift"][name] for r in same] for name in same[0]["test"]["drift"]
        }
        cells = [f"{np.mean(found[name]):.1f} %" for name in ("encoder", "layer")]
        cells += [f"{np.mean(found[name]):.2f}" for name in ("rows", "own", "others", "likeness")]
        lines.append([*key, *cells])
    headers = [
        "photographs",
        "rows",
        "trained",
        "encoder moved",
        "layer moved",
        "row and its start",
    ]
    headers += ["feature and own row", "feature and others", "likeness"]
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def plot(runs: list[dict], path: Path) -> None:
    """Left: what rows gain over random ones, seed by seed; right: losses with MiniLM's rows."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 3.6), width_ratios=(3, 2))
    lines = grouped(runs, "loss", "rows", "shots")
    places = [(shots, "mAP") for shots in SHOTS] + [("tail", "few5")]

    def values(loss: str, rows: str, place: tuple[str, str]) -> np.ndarray:
        same = lines.get((loss, rows, place[0]), [])
        return np.array([run["test"][place[1]] for run in same] or [np.nan])

    kinds = ("words", "MiniLM", "centred", "whitened", "shuffled")
    gains = [
        [values("LSE-Sign", kind, p) - values("LSE-Sign", "random", p) for p in places]
        for kind in kinds
    ]
    _bars(left, gains, kinds, [f"{s}, few5" if m == "few5" else s for s, m in places])
    left.axhline(0, color="black", linewidth=0.5)
    left.set_title("mAP minus that of random rows, LSE-Sign, same photographs", fontsize=9)
    some = [("all", "mAP"), ("5", "mAP"), ("tail", "mAP")]
    losses = list(grouped(runs, "loss"))
    of_losses = [[values(loss, "MiniLM", p) for p in some] for (loss,) in losses]
    _bars(right, of_losses, [loss for (loss,) in losses], [shots for shots, _ in some])
    right.set_title("mAP, MiniLM's rows", fontsize=9)
    right.set_ylim(bottom=40)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _bars(axis: plt.Axes, table: list[list[np.ndarray]], names: Any, places: list[str]) -> None:
    """A group of bars for each place, a bar for each name, a dot for each seed."""
    width = 0.8 / len(table)
    for number, (name, row) in enumerate(zip(names, table)):
        x = np.arange(len(places)) + (number - (len(table) - 1) / 2) * width
        axis.bar(x, [cell.mean() for cell in row], width * 0.92, label=name, alpha=0.8)
        for place, cell in zip(x, row):
            axis.plot([place] * len(cell), cell, "k.", markersize=3)
    axis.set_xticks(range(len(places)), places)
    axis.legend(fontsize=7, ncols=2)


TABLES = {  # the part of the results, the name on the page
    "rows": {"rows and losses": rows_table, "accuracy": accuracy_table, "chosen": chosen_table},
    "masks": {"masks": masks_table},
    "tuned": {"fine-tuned": tuned_table, "gains": gains_table, "drift": drift_table},
    "maps": {"activation maps": maps_table},
}


def write_report(results: dict[str, Any], folder: Path) -> None:
    """Fills the tables of the folder's README.md, or makes one, and draws the plot."""
    tables = {
        name: table(runs) for part, runs in results.items() for name, table in TABLES[part].items()
    }
    fill_page(folder / "README.md", tables)
    if "rows" in results:
        plot(results["rows"], folder / "rows.png")
