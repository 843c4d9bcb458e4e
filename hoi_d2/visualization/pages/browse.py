"""Selects records of a dataset for a page, and computes the rows by which the page filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hoi_d2.data.dataset import Dataset, suggest
from hoi_d2.data.images import is_there
from hoi_d2.data.vocabulary import Vocabulary

FACETS = ("verb", "object", "rare")
"""Filters of a page of a dataset."""


def index_of(name: str, names: Sequence[str], kind: str) -> int:
    """Returns the index of a verb or object; spaces and underscores are equivalent.

    Raises:
        ValueError: there is no such name; the message lists similar ones.
    """
    plain = [n.replace("_", " ") for n in names]
    if name.replace("_", " ") not in plain:
        raise ValueError(f"no {kind} is called {name!r}. {suggest(name, names)}")
    return plain.index(name.replace("_", " "))


def _known_name(name: str, names: Sequence[str], kind: str) -> str:
    return names[index_of(name, names, kind)]


def hoi_of_entry(record: dict[str, Any], entry: dict[str, int], vocabulary: Vocabulary) -> int:
    """Returns the HOI id of an annotated interaction, looked up if it is not given; -1 = none."""
    if entry.get("hoi", -1) >= 0:
        return entry["hoi"]
    if entry["object"] < 0:
        return -1
    return int(
        vocabulary.hoi_of[record["annotations"][entry["object"]]["category_id"], entry["verb"]]
    )


def filter_rows(record: dict[str, Any], dataset: Dataset) -> list[tuple[str, str, str]]:
    """Returns (verb, object, rare) per annotated interaction or positive image-level label.

    The object is "" if there is none, and `rare` is "" if the class is not rare.
    """
    vocabulary = dataset.vocabulary
    found = []
    for entry in record.get("hoi_annotations", ()):
        target = entry["object"]
        category = -1 if target < 0 else record["annotations"][target]["category_id"]
        found.append((entry["verb"], category, hoi_of_entry(record, entry, vocabulary)))
    for hoi in np.flatnonzero(np.asarray(record.get("image_labels", ())) == 1):
        category, verb = vocabulary.hois[hoi]
        found.append((int(verb), int(category), int(hoi)))
    return [
        (
            vocabulary.verbs[verb],
            vocabulary.objects[category] if category >= 0 else "",
            "rare" if hoi in dataset.rare_hois else "",
        )
        for verb, category, hoi in found
    ]


def select_records(
    dataset: Dataset,
    *,
    verb: str | None = None,
    object_name: str | None = None,
    rare: bool = False,
    num: int | None = None,
) -> list[dict[str, Any]]:
    """Returns the records with an interaction that matches all filters.

    Args:
        dataset: the dataset.
        verb, object_name: names; None = any.
        rare: whether to select only rare HOI classes.
        num: maximum number, see `choose`; None = all.

    Raises:
        ValueError: a name is unknown, or `rare` is set and the dataset has no rare classes.
    """
    if rare and not dataset.rare_hois:
        raise ValueError(f"{dataset.name} has no list of rare HOI classes")
    vocabulary = dataset.vocabulary
    wanted = (
        None if verb is None else _known_name(verb, vocabulary.verbs, "verb"),
        None if object_name is None else _known_name(object_name, vocabulary.objects, "object"),
        "rare" if rare else None,
    )
    found = list(dataset.records)
    if any(wanted):
        found = [r for r in found if any(_fits(row, wanted) for row in filter_rows(r, dataset))]
    return found if num is None else choose(found, num)


def choose(records: Sequence[dict[str, Any]], num: int) -> list[dict[str, Any]]:
    """Returns at most `num` records, spread evenly over those whose image is on disk.

    If no image is on disk, they are spread over all records, and drawing reports what is missing.
    """
    if len(records) <= num:
        return list(records)
    there = [r for r in records if is_there(r["file_name"])] or records
    return [there[i] for i in evenly(len(there), min(num, len(there)))]


def evenly(length: int, num: int) -> np.ndarray:
    """Returns `num` of the indices 0 to `length` - 1, including the first and the last."""
    return np.linspace(0, length - 1, num).round().astype(int)


def _fits(row: Sequence[str], wanted: Sequence[str | None]) -> bool:
    return all(w is None or w == value for value, w in zip(row, wanted))
