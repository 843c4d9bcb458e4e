"""Refuses a training that cannot learn anything, before its first step."""

from __future__ import annotations

import difflib
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hoi_d2.config.load import ConfigError
from hoi_d2.protocols import has_capability

logger = logging.getLogger(__name__)
_NAMED = 5


def check_can_learn(
    model: nn.Module,
    records: Sequence[dict[str, Any]],
    *,
    names: Sequence[str],
    max_missing: float,
    allow_unknown_classes: bool = False,
) -> None:
    """Looks at the training set with the eyes of the model.

    Args:
        model: not wrapped.
        records: dataset dicts of the whole training set.
        names: of the datasets, for messages.
        max_missing: largest share of images that may be missing; 1 = they are not looked for.
        allow_unknown_classes: go on where the detector does not know a category.

    Raises:
        ConfigError: no verb, no interaction, categories that the detector does not know, or too
            many missing images.
    """
    where = ", ".join(names)
    if has_capability(model, "finds_interactions"):
        _check_interactions(model, records, where)
        if not allow_unknown_classes:
            _check_categories(model, records, where)
    elif has_capability(model, "classifies_images"):
        _check_labels(records, where)
    if max_missing < 1:
        check_images(records, max_missing=max_missing)


def _check_interactions(model: nn.Module, records: Sequence[dict[str, Any]], where: str) -> None:
    vocabulary = getattr(model, "vocabulary", None)
    if vocabulary is not None and not vocabulary.verbs:
        raise ConfigError(
            f"{where} defines no verbs: list them in verb_categories, and the interactions in "
            "hoi_annotations (datasets/README.md)"
        )
    if not any(record.get("hoi_annotations") for record in records):
        raise ConfigError(
            f"{where} has no interactions: hoi_annotations of all {len(records)} images is empty"
        )
    reachable = (p["object"] >= 0 for r in records for p in r.get("hoi_annotations", ()))
    if not any(reachable):
        raise ConfigError(
            f"{where} has no interaction with a visible object, and a detector finds only pairs of "
            "a person and an object"
        )


def _check_labels(records: Sequence[dict[str, Any]], where: str) -> None:
    if not any((record["image_labels"] == 1).any() for record in records):
        raise ConfigError(f"{where} has no positive label in {len(records)} images")


def _check_categories(model: nn.Module, records: Sequence[dict[str, Any]], where: str) -> None:
    """Categories of annotated pairs for which the detector has no output."""
    detector: Any = getattr(model, "entity_detector", None)
    classes = getattr(getattr(detector, "detector", detector), "classes", None)
    if classes is None:
        return
    unknown = set((classes.output_map < 0).nonzero()[:, 0].tolist())
    pairs = _pairs_of(records, unknown)
    if not pairs:
        return
    lost = [
        f"{classes.dataset[category]!r} ({number} interactions{_hint(classes, category)})"
        for category, number in pairs.most_common(_NAMED)
    ]
    more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
    raise ConfigError(
        f"{where}: the entity detector does not know the category {', '.join(lost)}{more}, so "
        "their pairs are never found. Rename the category, fine-tune a detector that knows it "
        "(docs/detectors.md), or set MODEL.ENTITY_DETECTOR.ALLOW_UNKNOWN_CLASSES True to train on "
        "the other categories"
    )


def _pairs_of(records: Sequence[dict[str, Any]], categories: set[int]) -> Counter[int]:
    """Returns how many annotated pairs have a person or an object of these categories."""
    counts: Counter[int] = Counter()
    if not categories:
        return counts
    for record in records:
        entities = [entity["category_id"] for entity in record.get("annotations", ())]
        for pair in record.get("hoi_annotations", ()):
            ends = {entities[i] for i in (pair["human"], pair["object"]) if i >= 0}
            counts.update(ends & categories)
    return counts


def _hint(classes: Any, category: int) -> str:
    """Outputs of the detector with a similar name or one of its words."""
    name = classes.dataset[category].lower()
    words = set(name.split())
    near = [output for output in classes.outputs if words & set(output.lower().split())]
    near = near or difflib.get_close_matches(name, classes.outputs, n=2)
    return f". Did you mean {' or '.join(map(repr, near[:2]))}?" if near else ""


def check_images(records: Sequence[dict[str, Any]], *, max_missing: float) -> None:
    """Looks for the images of records, one listing per folder.

    Raises:
        ConfigError: more than this share is missing; names each folder and what was found in it.
    """
    names = [record.get("file_name") or "" for record in records]
    # Drawn images have no file, and other file systems (s3://) are not listed.
    files = [Path(name) for name in names if name and "://" not in name]
    found = _existing(files)
    missing = [file for file in files if file not in found]
    if not missing:
        return
    wanted, there = Counter(f.parent for f in files), Counter(f.parent for f in found)
    folders = [f"{folder}: {there[folder]} of {wanted[folder]} images found" for folder in wanted]
    text = "; ".join([*folders[:_NAMED], *["..."][: len(folders) > _NAMED]])
    text += f". The first missing one is {missing[0].name}"
    if len(missing) > max_missing * len(records):
        raise ConfigError(
            f"{text}. Put the images there, or let DETECTRON2_DATASETS or DATASETS.OWN name their "
            "folder (datasets/README.md)"
        )
    logger.warning("%s. Missing images are replaced by others", text)


def _existing(files: Iterable[Path]) -> set[Path]:
    names: dict[Path, set[str]] = {}
    for folder in {file.parent for file in files}:
        try:
            names[folder] = set(os.listdir(folder))
        except OSError:
            names[folder] = set()
    return {file for file in files if file.name in names[file.parent]}
