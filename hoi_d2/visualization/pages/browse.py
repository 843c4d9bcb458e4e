"""Which records of a dataset to look at, their images, and the rows by which a page filters."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.datasets.hoi_json import load_hoi_json, occurring_hois, read_vocabulary
from hoi_d2.data.datasets.records import file_problem
from hoi_d2.data.datasets.vcoco import load_vcoco
from hoi_d2.data.images import is_there
from hoi_d2.data.validation import detect_format
from hoi_d2.data.vocabulary import (
    Vocabulary,
    hico_det_rare_hois,
    hico_det_vocabulary,
    vcoco_vocabulary,
)

FACETS = ("verb", "object", "rare")
"""What images of a dataset can be filtered by."""

FILE_FORMATS = ("hico_det", "vcoco", "hoi_json")
"""Forms of annotation files that can be opened without registration."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """What drawing needs of a dataset.

    Args:
        name: for titles.
        records: dataset dicts.
        vocabulary: of the records.
        rare_hois: HOI ids.
        evaluated_hois: the HOI ids that means run over, None = all.
        evaluator_type: whose rule decides what a hit is; "vcoco" has one of its own.
    """

    name: str
    records: Sequence[dict[str, Any]]
    vocabulary: Vocabulary
    rare_hois: frozenset[int] = field(default=frozenset())
    evaluated_hois: tuple[int, ...] | None = None
    evaluator_type: str = "hico_det"


def registered_dataset(name: str) -> Dataset:
    """A dataset by its name in detectron2's catalogs.

    Raises:
        KeyError: no such name; lists the similar ones.
        ValueError: it is registered without a vocabulary.
    """
    from detectron2.data import DatasetCatalog, MetadataCatalog

    if name not in DatasetCatalog.list():
        names = [
            n for n in DatasetCatalog.list() if "vocabulary" in MetadataCatalog.get(n).as_dict()
        ]
        raise KeyError(f"no dataset is called {name!r}; {_suggest(name, names)}")
    records = DatasetCatalog.get(name)
    metadata = MetadataCatalog.get(name)
    if metadata.get("vocabulary") is None:
        raise ValueError(f"{name} is no HOI dataset: its metadata has no vocabulary")
    evaluated = metadata.get("evaluated_hois")
    return Dataset(
        name=name,
        records=records,
        vocabulary=metadata.vocabulary,
        rare_hois=frozenset(metadata.get("rare_hois") or ()),
        evaluated_hois=None if evaluated is None else tuple(evaluated),
        evaluator_type=metadata.get("evaluator_type") or "hico_det",
    )


def open_dataset(name_or_file: str, image_root: str = "", *, file_format: str = "") -> Dataset:
    """A registered dataset, or an annotation file as it lies on disk.

    Args:
        name_or_file: a name of detectron2's catalogs, or a file.
        image_root: folder of the file's images.
        file_format: one of `FILE_FORMATS`; "" = by the file's content.

    Raises:
        KeyError: neither a name nor a file.
        DataFormatError: the file cannot be read; says why.
    """
    if not Path(name_or_file).is_file():
        return registered_dataset(name_or_file)
    kind = file_format or detect_format(name_or_file)
    if kind not in FILE_FORMATS:
        raise file_problem(
            name_or_file,
            "format",
            kind,
            f"one of {', '.join(FILE_FORMATS)}; put it into its tree under DETECTRON2_DATASETS and "
            "use its registered name (datasets/README.md)",
        )
    if kind == "hoi_json":
        records = load_hoi_json(name_or_file, image_root)
        return Dataset(
            name=Path(name_or_file).name,
            records=records,
            vocabulary=read_vocabulary(name_or_file),
            evaluated_hois=tuple(occurring_hois(records)),  # as the metric has it
        )
    if kind == "vcoco":
        records = load_vcoco(name_or_file, image_root)
        return Dataset(Path(name_or_file).name, records, vcoco_vocabulary(), evaluator_type="vcoco")
    return Dataset(
        name=Path(name_or_file).name,
        records=load_hico_det(name_or_file, image_root),
        vocabulary=hico_det_vocabulary(),
        rare_hois=frozenset(hico_det_rare_hois()),
    )


def index_of(name: str, names: Sequence[str], kind: str) -> int:
    """Position of a verb or object; spaces and underscores are the same.

    Raises:
        ValueError: it is not there; names what is similar.
    """
    plain = [n.replace("_", " ") for n in names]
    if name.replace("_", " ") not in plain:
        raise ValueError(f"no {kind} is called {name!r}; {_suggest(name, names)}")
    return plain.index(name.replace("_", " "))


def _known_name(name: str, names: Sequence[str], kind: str) -> str:
    return names[index_of(name, names, kind)]


def _suggest(name: str, names: Sequence[str]) -> str:
    similar = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    if similar:
        return f"did you mean {', '.join(similar)}?"
    shown = ", ".join(names[:12]) or "none"
    return f"there is {shown}{', ...' if len(names) > 12 else ''}"


def hoi_of_entry(record: dict[str, Any], entry: dict[str, int], vocabulary: Vocabulary) -> int:
    """HOI id of an annotated interaction, looked up where it is not given; -1 = none."""
    if entry.get("hoi", -1) >= 0:
        return entry["hoi"]
    if entry["object"] < 0:
        return -1
    return int(
        vocabulary.hoi_of[record["annotations"][entry["object"]]["category_id"], entry["verb"]]
    )


def filter_rows(record: dict[str, Any], dataset: Dataset) -> list[tuple[str, str, str]]:
    """One (verb, object, rare) per annotated interaction or positive image-level label; "" where
    there is no object or it is not rare."""
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
    """Records with an interaction that has all that is asked for.

    Args:
        dataset: where from.
        verb, object_name: names; None = any.
        rare: only rare HOI classes.
        num: at most that many, see `choose`; None = all.

    Raises:
        ValueError: an unknown name, or a dataset without rare classes is asked for them.
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
    """At most `num` records; where that cuts, spread evenly over those whose image is on disk.

    Where none is, over all: then drawing says what is missing.
    """
    if len(records) <= num:
        return list(records)
    there = [r for r in records if is_there(r["file_name"])] or records
    return [there[i] for i in evenly(len(there), min(num, len(there)))]


def evenly(length: int, num: int) -> np.ndarray:
    """`num` of the places 0 to `length` - 1, the first and the last among them."""
    return np.linspace(0, length - 1, num).round().astype(int)


def _fits(row: Sequence[str], wanted: Sequence[str | None]) -> bool:
    return all(w is None or w == value for value, w in zip(row, wanted))
