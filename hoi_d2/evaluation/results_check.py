"""Checks results before they are scored.

Rows that would give a wrong number are errors; rows that the official tools accept but that are
probably a mistake are counted in warnings.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation.ground_truth import rows_of_images
from hoi_d2.evaluation.matching import hash_rows, identify_rows
from hoi_d2.evaluation.results import NO_HOI, HOIResults, ResultFormatError, fill_hoi_classes


def check_results(
    results: HOIResults,
    vocabulary: Vocabulary,
    known_images: np.ndarray,
    *,
    source: str = "results",
    unknown_images: str = "error",
) -> tuple[HOIResults, list[str]]:
    """Refuses results that cannot be scored and warns about unusual rows.

    Args:
        results: as read from a file or gathered from a model.
        vocabulary: whose ids the columns must hold.
        known_images: (N,) ascending image ids of the data set.
        source: name of the results in messages.
        unknown_images: "error" refuses rows in other images, "drop" drops and counts them.

    Returns:
        The results, `hoi_classes` filled in from object and verb where they were -1, and the
        warnings.

    Raises:
        ResultFormatError: a score or box is not finite, an id is unknown, the ids of a row
            contradict each other, or an image is not in the data set.
    """
    _check_finite(results, source)
    _check_ids(results, vocabulary, source)
    results = fill_hoi_classes(results, vocabulary)
    _check_agreement(results, vocabulary, source)
    results, warnings = _check_images(results, known_images, source, unknown_images)
    warnings += _odd_boxes(results) + _odd_classes(results, vocabulary)
    repeated = count_repeated_rows(results)
    if repeated:
        warnings.append(
            f"{repeated} rows repeat another row exactly; each counts, so all but one of them are "
            "false positives"
        )
    return results, [f"{source}: {w}" for w in warnings]


def count_repeated_rows(results: HOIResults) -> int:
    """Counts rows that equal an earlier one in every column."""
    columns = [getattr(results, field.name) for field in fields(results)]
    hashes = hash_rows(*columns)
    ordered = np.sort(hashes)
    suspects = np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]])
    if not suspects.any():
        return 0
    numbers = identify_rows(*(column[suspects] for column in columns))
    return len(numbers) - len(np.unique(numbers))


def _check_finite(results: HOIResults, source: str) -> None:
    _refuse(~np.isfinite(results.scores), results.scores, "score", "a finite number", source)
    infinite = np.isinf(results.human_boxes).any(axis=1)
    _refuse(infinite, results.human_boxes, "human_box", "finite pixels", source)
    infinite = np.isinf(results.object_boxes).any(axis=1)
    _refuse(infinite, results.object_boxes, "object_box", "finite pixels, or null", source)


def _check_ids(results: HOIResults, vocabulary: Vocabulary, source: str) -> None:
    limits = (
        (results.object_classes, "object_category_id", -1, len(vocabulary.objects)),
        (results.verb_classes, "verb_id", 0, len(vocabulary.verbs)),
        (results.hoi_classes, "hoi_id", -1, max(len(vocabulary.hois), 0)),
    )
    for values, name, low, high in limits:
        expected = f"{low}..{high - 1} ({vocabulary.name}, ids count from 0)"
        _refuse((values < low) | (values >= high), values, name, expected, source)


def _check_agreement(results: HOIResults, vocabulary: Vocabulary, source: str) -> None:
    named = np.flatnonzero(results.hoi_classes >= 0)
    hois = vocabulary.hois[results.hoi_classes[named]]
    ids = np.stack([results.object_classes[named], results.verb_classes[named]], axis=1)
    wrong = named[(hois != ids).any(axis=1)]
    if len(wrong):
        row = wrong[0]
        obj, verb = vocabulary.hois[results.hoi_classes[row]]
        raise ResultFormatError(
            f"{source}: row {row}{_more(len(wrong))}: hoi_id {results.hoi_classes[row]} is "
            f"{vocabulary.hoi_name(results.hoi_classes[row])!r} (object {obj}, verb {verb}), but "
            f"the row has object_category_id {results.object_classes[row]}, verb_id "
            f"{results.verb_classes[row]}; objects are in COCO's order (see docs/evaluation.md)"
        )


def _check_images(
    results: HOIResults, known_images: np.ndarray, source: str, unknown_images: str
) -> tuple[HOIResults, list[str]]:
    unknown = rows_of_images(results.image_ids, known_images) < 0
    if not unknown.any():
        return results, []
    if unknown_images == "error":
        expected = (
            f"one of the {len(known_images)} images of the data set (evaluate_results.py leaves "
            "other rows out with --unknown-images drop)"
        )
        _refuse(unknown, results.image_ids, "image_id", expected, source)
    images = np.unique(results.image_ids[unknown])
    warning = f"{unknown.sum()} rows in {len(images)} images that are not scored were left out"
    return results[~unknown], [f"{warning} (the first is image {images[0]})"]


def _odd_boxes(results: HOIResults) -> list[str]:
    warnings = []
    known = results.human_boxes[np.isfinite(results.human_boxes)]
    if len(known) and known.max() <= 1:
        warnings.append(
            "all human boxes lie in 0..1, as if they were shares of the image; boxes are "
            "[x, y, width, height] in pixels"
        )
    for name, boxes in (("human", results.human_boxes), ("object", results.object_boxes)):
        nan = np.isnan(boxes).any(axis=1)
        with np.errstate(invalid="ignore"):
            inverted = (boxes[:, 2:] < boxes[:, :2]).any(axis=1).sum()
        if name == "object":
            nan &= results.object_classes >= 0
        if nan.any():
            warnings.append(
                f"{nan.sum()} rows have an undefined (NaN or null) {name} box; it overlaps nothing"
            )
        if inverted:
            warnings.append(
                f"{inverted} rows have an inverted {name} box: width or height is negative; "
                "boxes are [x, y, width, height]"
            )
    return warnings


def _odd_classes(results: HOIResults, vocabulary: Vocabulary) -> list[str]:
    if not len(vocabulary.hois):
        return []
    classless = results.hoi_classes == NO_HOI
    if not classless.any():
        return []
    first = np.flatnonzero(classless)[0]
    return [
        f"{classless.sum()} rows have no HOI class of {vocabulary.name} and were not counted "
        f"(row {first}: object {results.object_classes[first]}, verb "
        f"{results.verb_classes[first]})"
    ]


def _refuse(wrong: np.ndarray, values: np.ndarray, name: str, expected: str, source: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise ResultFormatError(
            f"{source}: row {rows[0]}{_more(len(rows))}: {name} is {values[rows[0]]}, "
            f"expected {expected}"
        )


def _more(count: int) -> str:
    return f" (and {count - 1} more rows)" if count > 1 else ""
