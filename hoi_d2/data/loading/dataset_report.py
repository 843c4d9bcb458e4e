"""Logs the contents of a training set, and the classes without samples."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary

logger = logging.getLogger(__name__)
_NAMED = 20


def report_dataset(
    records: Sequence[dict[str, Any]],
    *,
    vocabulary: Vocabulary,
    evaluated_hois: Iterable[int] | None = None,
) -> dict[str, list[str]]:
    """Logs the numbers of images, entities and pairs, and the classes without samples.

    Args:
        records: dataset dicts with `annotations` and `hoi_annotations`, or with `image_labels`.
        vocabulary: the classes.
        evaluated_hois: the HOI ids to check; None = all.

    Returns:
        The names of the classes without samples, by kind: "objects", "verbs", "hois".
    """
    wanted = range(len(vocabulary.hois)) if evaluated_hois is None else list(evaluated_hois)
    seen_objects, seen_verbs, seen_hois = _count(records, vocabulary)
    objects = _of_interest(vocabulary, wanted, column=0, number=len(vocabulary.objects))
    verbs = _of_interest(vocabulary, wanted, column=1, number=len(vocabulary.verbs))
    never = {
        "objects": [vocabulary.objects[i] for i in objects if not seen_objects[i]],
        "verbs": [vocabulary.verbs[i] for i in verbs if not seen_verbs[i]],
        "hois": [vocabulary.hoi_name(i) for i in wanted if not seen_hois[i]],
    }
    without = sum(not _is_labelled(record) for record in records)
    counts = (len(records), without, seen_objects.total(), seen_verbs.total())
    logger.info(
        "training on %d images (%d without interactions), %d entities, %d interactions", *counts
    )
    for kind, names in never.items():
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            some = ", ".join(names[:_NAMED])
            logger.warning("%d %s never occur in training: %s%s", len(names), kind, some, more)
    return never


def _count(
    records: Sequence[dict[str, Any]], vocabulary: Vocabulary
) -> tuple[Counter[int], Counter[int], Counter[int]]:
    """Counts each object, verb and HOI, in pairs or in image-level labels."""
    objects: Counter[int] = Counter()
    verbs: Counter[int] = Counter()
    hois: Counter[int] = Counter()
    for record in records:
        if "image_labels" in record:
            present = np.flatnonzero(record["image_labels"] == 1)
            hois.update(present.tolist())
            objects.update(vocabulary.hois[present, 0].tolist())
            verbs.update(vocabulary.hois[present, 1].tolist())
        else:
            objects.update(entity["category_id"] for entity in record.get("annotations", ()))
            verbs.update(pair["verb"] for pair in record.get("hoi_annotations", ()))
            hois.update(pair["hoi"] for pair in record.get("hoi_annotations", ()))
    return objects, verbs, hois


def _is_labelled(record: dict[str, Any]) -> bool:
    if "image_labels" in record:
        return bool((record["image_labels"] == 1).any())
    return bool(record.get("hoi_annotations"))


def _of_interest(
    vocabulary: Vocabulary, hois: Iterable[int], *, column: int, number: int
) -> list[int]:
    """Returns the objects or verbs of the HOIs to check; all if there are no HOI classes."""
    if not len(vocabulary.hois):
        return list(range(number))
    return sorted({int(vocabulary.hois[hoi][column]) for hoi in hois})
