"""Tables of the study, from its results alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

sys.path.append(str(Path(__file__).parents[1] / "evidence_rows"))  # whose tables look the same

from report import fill_page, grouped, spread

KEYS = ("level", "attention", "place", "text", "schedule")
CLOSED, OPEN = ("all", "rare", "few1", "few5", "few10"), ("unseen", "seen", "all")
_USUAL = {"attention": "fixed", "place": "output", "text": "MiniLM", "schedule": "constant"}


def label(row: dict[str, Any]) -> str:
    """What a variant does other than *both, fixed attention, output, MiniLM, constant*."""
    if row["level"] in ("none", "layers", "cls"):
        return {"none": "none", "layers": "layers, no text", "cls": "[CLS]"}[row["level"]]
    unusual = [row[key] for key, usual in _USUAL.items() if row[key] != usual]
    return ", ".join([row["level"], *unusual])


def _difference(rows: Sequence[dict], base: Sequence[dict], column: str) -> str:
    """Mean and spread, over the seeds, of what a variant has more than *none*."""
    of_seed = {row["seed"]: row["test"][column] for row in base}
    both = [row for row in rows if row["seed"] in of_seed]
    if rows[0]["level"] == "none" or not both:
        return "-"
    more = [row["test"][column] - of_seed[row["seed"]] for row in both]
    return f"{np.mean(more):+.2f} ± {np.std(more, ddof=min(1, len(more) - 1)):.2f}"


def _cells(rows: Sequence[dict], part: str, columns: Sequence[str]) -> list[str]:
    return [spread([row[part][column] for row in rows]) for column in columns]


def _table(lines: list[list[Any]], headers: Sequence[str]) -> str:
    return tabulate(lines, headers=headers, tablefmt="github", disable_numparse=True)


def closed_table(rows: list[dict], of_levels: list[dict]) -> str:
    """All classes are trained on; `of_levels` has the rows of *none*."""
    groups = grouped(rows, *KEYS)
    base = [row for row in of_levels if row["level"] == "none"]
    lines = [
        [
            label(same[0]),
            f"{same[0]['weight']:g}" if same[0]["level"] not in ("none", "layers") else "-",
            *_cells(same, "val", ("all",)),
            *_cells(same, "test", CLOSED),
            _difference(same, base, "all"),
        ]
        for same in groups.values()
    ]
    return _table(lines, ["variant", "weight", "validation", *CLOSED, "all, more than none"])


def weights_table(rows: list[dict]) -> str:
    """The validation scores that the weights were chosen by."""
    lines = []
    for same in grouped(rows, *KEYS).values():
        of_weight = {row["weight"]: f"{row['val']['all']:.2f}" for row in same}
        lines.append([label(same[0]), *(of_weight[weight] for weight in sorted(of_weight))])
    weights = sorted({row["weight"] for row in rows})
    return _table(lines, ["variant", *(f"weight {weight:g}" for weight in weights)])


def learnt_table(rows: list[dict]) -> str:
    """What aligned pairs know of their sentences."""
    lines = []
    for same in grouped([r for r in rows if "sentences" in r], *KEYS).values():
        found = [row["sentences"] for row in same]
        level = "word" if same[0]["level"] == "word" else "sentence"
        names = ("own", "own_of_object", f"{level}_distance", f"{level}_moved")
        lines.append([label(same[0]), *(spread([f[name] for f in found]) for name in names)])
    headers = ["variant", "own, %", "own of the object's, %", "distance", "moved"]
    return _table(lines, headers)


def unseen_table(rows: list[dict]) -> str:
    """Zero-shot splits; *text asked*: the distances to the sentences are added to the scores."""
    lines = []
    for (split, *_), same in grouped(rows, "split", *KEYS).items():
        lines.append([split, label(same[0]), *_cells(same, "test", OPEN)])
        if "test_text" in same[0]:
            asked = f"{label(same[0])}, text asked"
            lines.append([split, asked, *_cells(same, "test_text", OPEN)])
    return _table(lines, ["split", "variant", *OPEN])


def lengths_table(rows: list[dict], names: dict[tuple[int, float], str]) -> str:
    """Other lengths of training, and fewer images."""
    lines = []
    for (steps, share, *_), same in grouped(rows, "steps", "share", *KEYS).items():
        base = [
            row
            for row in rows
            if (row["steps"], row["share"], row["level"]) == (steps, share, "none")
        ]
        cells = [*_cells(same, "test", CLOSED), _difference(same, base, "all")]
        lines.append([names[steps, share], label(same[0]), *cells])
    return _table(lines, ["trained", "variant", *CLOSED, "all, more than none"])


def control_table(rows: list[dict]) -> str:
    """Differences between none, sentences and random vectors, seed by seed."""
    scores = {label(same[0]): same for same in grouped(rows, *KEYS).values()}
    lines = []
    for name, base in combinations(reversed(scores), 2):
        for column in ("all", "rare"):
            of_seed = {row["seed"]: row["test"][column] for row in scores[base]}
            more = [row["test"][column] - of_seed[row["seed"]] for row in scores[name]]
            error = np.std(more, ddof=1) / len(more) ** 0.5
            each = ", ".join(f"{m:+.2f}" for m in more)
            lines.append([f"{name} - {base}", column, f"{np.mean(more):+.2f} ± {error:.2f}", each])
    return _table(lines, ["difference", "classes", "mean and its standard error", "seeds"])


def write_report(
    results: dict[str, Any], folder: Path, names: dict[tuple[int, float], str]
) -> None:
    """Fills the tables of the folder's README.md, or makes one."""
    tables = {
        "levels": closed_table(results["levels"], results["levels"]),
        "choices": closed_table(results["choices"], results["levels"]),
        "weights": weights_table(results["weights"]),
        "control": control_table(results["control"]),
        "what is learnt": learnt_table([*results["levels"], *results["choices"]]),
        "unseen classes": unseen_table(results["unseen"]),
        "lengths": lengths_table(results["lengths"], names),
    }
    fill_page(folder / "README.md", tables)
