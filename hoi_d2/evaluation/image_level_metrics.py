"""AP of image-level recognition on arrays: HICO's rule; MPII's and Stanford 40's is the same.

Per class the images are sorted by score; AP is the mean precision at 11 recalls. Ambiguous labels
are left out; unknown ones are negatives, or left out as well in the known-object setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hoi_d2.data.datasets import hico
from hoi_d2.data.datasets.hico import AMBIGUOUS, POSITIVE, UNKNOWN
from hoi_d2.data.datasets.records import number_in_name
from hoi_d2.evaluation import average_precision as ap
from hoi_d2.evaluation import matching
from hoi_d2.evaluation.result_files import read_npz
from hoi_d2.evaluation.results import ResultFormatError

FEW_SHOT = (1, 5, 10)
"""Groups of classes by how many positive training images they have at most."""


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Scores of N images for C classes.

    Args:
        image_ids: (N,) int64, distinct.
        scores: (N, C).
    """

    image_ids: np.ndarray
    scores: np.ndarray


def read_image_scores(path: str | Path) -> ImageScores:
    """Reads a file of `write_image_scores`; the images come out by ascending id.

    Raises:
        FileNotFoundError: no such file.
        ResultFormatError: it has not these arrays, an image occurs twice, or a score is not finite.
    """
    path = Path(path)
    arrays = read_npz(path, ("image_id", "scores"))
    if len(arrays) < 2:
        raise ResultFormatError(
            f"{path}: expected an .npz with image_id (N,) and scores (N, C); it has "
            f"{', '.join(arrays) or 'neither'}"
        )
    image_ids, scores = arrays["image_id"], arrays["scores"]
    if image_ids.ndim != 1 or image_ids.dtype.kind not in "iu" or scores.dtype.kind != "f":
        raise ResultFormatError(
            f"{path}: image_id is {image_ids.dtype} {image_ids.shape}, scores {scores.dtype}; "
            "expected integers (N,) and floats (N, C)"
        )
    if scores.ndim != 2 or len(scores) != len(image_ids):
        raise ResultFormatError(
            f"{path}: scores have shape {scores.shape}, expected ({len(image_ids)}, C)"
        )
    if len(np.unique(image_ids)) != len(image_ids):
        raise ResultFormatError(f"{path}: an image_id occurs more than once")
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        row, hoi = bad[0]
        raise ResultFormatError(
            f"{path}: image {image_ids[row]}, class {hoi}: score is {scores[row, hoi]}, "
            f"expected a finite number ({len(bad)} such entries)"
        )
    order = np.argsort(image_ids)  # as in the evaluators, so that equal scores keep the same order
    return ImageScores(image_ids[order].astype(np.int64), scores[order])


def write_image_scores(path: str | Path, scores: ImageScores) -> None:
    """Writes an `.npz`; under a temporary name until it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, image_id=scores.image_ids, scores=scores.scores)
    partial.replace(path)


@dataclass(frozen=True, eq=False)
class ImageLabels:
    """Labels of N images.

    Args:
        image_ids: (N,) int64, the number in the file name, ascending.
        labels: (N, C) int8: 1 = positive, 0 = ambiguous, -1 = negative, -2 = unknown.
    """

    image_ids: np.ndarray
    labels: np.ndarray


def read_image_labels(path: str | Path, split: str) -> ImageLabels:
    """One split of HICO's `anno.mat`.

    Args:
        path: the file.
        split: `train` or `test`; both number their images from 1.

    Raises:
        FileNotFoundError: no such file.
        DataFormatError: it is not HICO's `anno.mat`.
    """
    names, labels = hico.read_image_labels(path, split)
    image_ids = np.asarray([number_in_name(name or "") or -1 for name in names], dtype=np.int64)
    order = np.argsort(image_ids)
    return ImageLabels(image_ids[order], labels[order])


def split_of(file_names: Iterable[str]) -> str:
    """Returns the split of HICO that file names belong to, by the first (`HICO_test2015_...`)."""
    name = next(iter(file_names), "")
    return "train" if "train2015" in Path(name).name else "test"


def image_level_ranking(
    scores: np.ndarray, labels: np.ndarray, *, left_out: tuple[int, ...] = (AMBIGUOUS,)
) -> ap.Ranking:
    """Returns all (image, class) entries as a ranking; `rows` are image * C + class.

    Args:
        scores: (N, C) finite.
        labels: (N, C): 1 = positive, 0 = ambiguous, -1 = negative, -2 = unknown.
        left_out: labels that do not count at all.

    Raises:
        ValueError: the shapes differ, or a score is not finite.
    """
    if scores.shape != labels.shape:
        raise ValueError(f"scores are {scores.shape}, labels {labels.shape} (images, classes)")
    if not np.isfinite(scores).all():
        image, hoi = np.argwhere(~np.isfinite(scores))[0]
        raise ValueError(f"score of image {image} (counted from 0), class {hoi} is not finite")
    rows = np.flatnonzero(~np.isin(labels, left_out))
    classes = rows % max(scores.shape[1], 1)
    order = matching.rank(classes, scores.ravel()[rows])
    rows, classes = rows[order], classes[order]
    positives = (labels == POSITIVE).sum(axis=0)
    return ap.Ranking(rows, classes, labels.ravel()[rows] == POSITIVE, positives)


def score_image_level(
    scores: np.ndarray, labels: np.ndarray, *, known_object: bool = False
) -> np.ndarray:
    """AP of each class.

    Args:
        scores: (N, C).
        labels: (N, C), see `image_level_ranking`.
        known_object: leave unknown labels out, so that only images with the object count.

    Returns:
        (C,) fractions, NaN for a class without positive image.
    """
    left_out = (AMBIGUOUS, UNKNOWN) if known_object else (AMBIGUOUS,)
    ranking = image_level_ranking(scores, labels, left_out=left_out)
    values = ap.interpolated_ap(ap.hits_of(ranking))
    return np.where(ranking.num_positives > 0, values, np.nan)


def few_shot_groups(training_positives: np.ndarray) -> Mapping[str, np.ndarray]:
    """Returns the classes with at most 1, 5 and 10 positive training images.

    Args:
        training_positives: (C,) positive training images of each class.

    Returns:
        `few1`, `few5`, `few10` -> class ids; 49, 125 and 162 of them in HICO.
    """
    return {f"few{k}": np.flatnonzero(training_positives <= k) for k in FEW_SHOT}


def match_labels(
    scores: ImageScores, dataset_dicts: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the labels of the images that have scores.

    Args:
        scores: of N images.
        dataset_dicts: with `image_labels` (C,).

    Returns:
        (M,) ids of all images of the data set; (N, C) labels in the order of the scores; how many
        images of the data set have no scores.

    Raises:
        ValueError: scores of an image that is not in the data set, or of other classes.
    """
    label_of = {d["image_id"]: d["image_labels"] for d in dataset_dicts}
    unknown = [i for i in scores.image_ids.tolist() if i not in label_of]
    if unknown:
        raise ValueError(
            f"{len(unknown)} images with scores are not in the data set, the first is {unknown[0]}"
        )
    if not len(scores.image_ids):
        raise ValueError("there are no scores at all")
    labels = np.stack([label_of[i] for i in scores.image_ids.tolist()])
    if labels.shape[1] != scores.scores.shape[1]:
        raise ValueError(
            f"scores of {scores.scores.shape[1]} classes, but labels of {labels.shape[1]}"
        )
    known = np.asarray(sorted(label_of), dtype=np.int64)
    return known, labels, len(known) - len(labels)


def hico_metrics(
    scores: np.ndarray,
    labels: np.ndarray,
    groups: Mapping[str, Sequence[int] | np.ndarray],
    evaluated: Sequence[int] | None = None,
) -> dict[str, float]:
    """HICO's means in percent.

    Args:
        scores: (N, C).
        labels: (N, C).
        groups: name -> classes, for `mAP_<name>`.
        evaluated: the classes that count at all, None = all.

    Returns:
        `mAP`, `mAP_known_object` and a mean for each group.
    """
    default = score_image_level(scores, labels)
    known = score_image_level(scores, labels, known_object=True)
    classes = np.arange(len(default)) if evaluated is None else np.asarray(evaluated, dtype=int)
    metrics = {
        "mAP": mean_percent(default, classes),
        "mAP_known_object": mean_percent(known, classes),
    }
    for name, members in groups.items():
        metrics[f"mAP_{name}"] = mean_percent(default, np.intersect1d(members, classes).astype(int))
    return metrics


def mpii_metrics(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """MPII's `mAP` in percent: the mean over the activities that occur in the split."""
    return {"mAP": mean_percent(score_image_level(scores, labels))}


def stanford40_metrics(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """MPII's `mAP`, and `accuracy`: the share of images whose best class is theirs, in percent."""
    best = labels[np.arange(len(labels)), scores.argmax(axis=1)]
    return mpii_metrics(scores, labels) | {"accuracy": 100.0 * float((best == POSITIVE).mean())}


IMAGE_LEVEL_METRICS = {"mpii": mpii_metrics, "stanford40": stanford40_metrics}
"""Type of the evaluator -> metrics in percent, where they need scores and labels alone."""


def mean_percent(values: np.ndarray, classes: np.ndarray | None = None) -> float:
    """Returns the mean over classes (None = all) with a positive image, in percent; NaN if none."""
    chosen = values if classes is None else values[classes]
    chosen = chosen[~np.isnan(chosen)]
    return 100.0 * float(chosen.mean()) if len(chosen) else float("nan")
