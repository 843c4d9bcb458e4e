"""Scores a result file against a dataset: the code behind `hoi-d2 eval --results`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hoi_d2.data.dataset import IMAGE_LEVEL_TYPES, Dataset
from hoi_d2.evaluation.result_files import read_results
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.evaluation.results_check import check_results
from hoi_d2.evaluation.scorers import HICODetScorer, Scored, VCOCOScorer
from hoi_d2.utils.user_errors import UserError


class UsageError(UserError, ValueError):
    """The request cannot be carried out; the message says what to give instead."""


@dataclass(frozen=True)
class ScoreOptions:
    """Options of scoring a result file; the defaults are the official rules.

    Args:
        image_ids: file with an image id on each line: only these images count.
        images_of_results: only images that occur in the results count.
        unknown_images: `error` or `drop` for rows in images that do not count; None = `drop` with
            `image_ids` and for V-COCO, else `error`.
        protocol: a key of `hico_det_metrics.PROTOCOLS` (HICO-DET only).
        only_annotated_classes: means over the HOI classes with an annotated pair.
        groups: further groups of HOI classes to average over, by name.
        image_labels_file: HICO's `anno.mat`, for the known-object setting; None = the dataset's.
    """

    image_ids: str | Path | None = None
    images_of_results: bool = False
    unknown_images: str | None = None
    protocol: str = "official"
    only_annotated_classes: bool = False
    groups: Mapping[str, Sequence[int] | np.ndarray] = field(default_factory=dict)
    image_labels_file: str | Path | None = None


@dataclass(frozen=True, eq=False)
class FileScore:
    """The score of a result file.

    Args:
        task: first part of the metrics' names: `hico_det`, `vcoco`, `hico`, `mpii` or
            `stanford40`.
        metrics: `task/name` -> percent.
        header: of the per-class table.
        table: one row per class.
        messages: notes and warnings about the ground truth and the results.
        scorer: of a dataset with boxes, to score other results by the same ground truth.
        scored: what the scorer gave.
    """

    task: str
    metrics: dict[str, float]
    header: Sequence[str]
    table: Sequence[Sequence[Any]]
    messages: list[str]
    scorer: HICODetScorer | VCOCOScorer | None = None
    scored: Scored | None = None


def score_file(
    path: str | Path, dataset: Dataset, options: ScoreOptions | None = None
) -> FileScore:
    """Scores a result file by the metric of the dataset (`evaluator_type`).

    Args:
        path: `hoi_results.json`, `.npz` or `.parquet`; for HICO, MPII and Stanford 40 an `.npz`
            with `image_id`, `scores`.
        dataset: of `open_dataset`.
        options: None = the defaults.

    Raises:
        UsageError: the options or the results do not fit the dataset.
        ResultFormatError, DataFormatError, FileNotFoundError: a file cannot be read.
    """
    options = options or ScoreOptions()
    if dataset.evaluator_type in IMAGE_LEVEL_TYPES:
        return _score_image_level(path, dataset, options)
    if dataset.evaluator_type not in ("hico_det", "vcoco"):
        raise UsageError(f"{dataset.name}: evaluator_type {dataset.evaluator_type!r} has no metric")
    drop = _unknown_images(dataset.evaluator_type, options) == "drop"
    known = np.asarray([record["image_id"] for record in dataset.records])
    results = read_results(path, known if drop else None)
    dataset = _select(dataset, path, np.unique(results.image_ids), options)
    scorer = _scorer(dataset, options)
    messages = [f"note: {n}" for n in scorer.notes] + [f"warning: {w}" for w in scorer.warnings]
    scored, more = score_results(results, path, scorer, dataset.name, options)
    metrics = {f"{scorer.task}/{name}": value for name, value in scored.metrics.items()}
    return FileScore(
        scorer.task, metrics, scored.header, scored.table, messages + more, scorer, scored
    )


def score_results(
    results: HOIResults,
    path: str | Path,
    scorer: HICODetScorer | VCOCOScorer,
    dataset_name: str,
    options: ScoreOptions,
) -> tuple[Scored, list[str]]:
    """Checks and scores results; returns the notes and warnings about them as well.

    Args:
        results: of the file.
        path: the file, for messages.
        scorer: of the dataset.
        dataset_name: for messages.
        options: as for `score_file`.

    Raises:
        UsageError: no row is in an image of the dataset.
        ResultFormatError: a row cannot be scored.
    """
    checked, warnings = check_results(
        results,
        scorer.vocabulary,
        scorer.image_ids,
        source=str(path),
        unknown_images=_unknown_images(scorer.task, options),
    )
    if len(results) and not len(checked) and not options.image_ids:
        raise UsageError(
            f"{path}: none of its {len(results)} rows is in an image of {dataset_name}; use "
            "results and annotations of the same split"
        )
    messages = [f"warning: {warning}" for warning in warnings]
    missed = np.setdiff1d(scorer.annotated_images, checked.image_ids)
    if len(missed):
        messages.append(
            f"note: {path}: {len(missed)} of {len(scorer.annotated_images)} images with "
            f"annotated interactions have no row and count as missed (the first is {missed[0]}); "
            "--images-of-results leaves them out"
        )
    return scorer.score(checked), messages


def _unknown_images(task: str, options: ScoreOptions) -> str:
    # the official V-COCO tool goes through the images of its list and reads no others
    lenient = options.image_ids or task == "vcoco"
    return options.unknown_images or ("drop" if lenient else "error")


def _select(
    dataset: Dataset, path: str | Path, result_images: np.ndarray, options: ScoreOptions
) -> Dataset:
    """Returns the dataset with the images that count."""
    if options.image_ids:
        from hoi_d2.data.datasets.vcoco import read_image_ids

        wanted = set(read_image_ids(options.image_ids))
    elif options.images_of_results:
        wanted = set(result_images.tolist())
    else:
        return dataset
    chosen = [record for record in dataset.records if record["image_id"] in wanted]
    missing = wanted - {record["image_id"] for record in chosen}
    if missing:
        raise UsageError(
            f"{options.image_ids or path}: {len(missing)} of its {len(wanted)} images are not "
            f"in the annotations of {dataset.name}, the first is {min(missing)}; use results and "
            "annotations of the same split"
        )
    return dataset.with_records(chosen)


def _scorer(dataset: Dataset, options: ScoreOptions) -> HICODetScorer | VCOCOScorer:
    if dataset.evaluator_type == "vcoco":
        return VCOCOScorer(dataset.records, dataset.vocabulary)
    evaluated: Sequence[int] | None = dataset.evaluated_hois
    if options.only_annotated_classes:
        hois = {pair["hoi"] for record in dataset.records for pair in record["hoi_annotations"]}
        evaluated = sorted(hoi for hoi in hois if hoi >= 0)
    labels_file = options.image_labels_file
    if labels_file and not Path(labels_file).is_file():
        raise FileNotFoundError(f"no such label file: {labels_file}")
    return HICODetScorer(
        dataset.records,
        dataset.vocabulary,
        rare_hois=sorted(dataset.rare_hois),
        evaluated_hois=evaluated,
        groups={**dataset.hoi_groups, **options.groups},
        image_labels_file=labels_file or dataset.image_labels_file,
        protocol=options.protocol,
    )


def _score_image_level(path: str | Path, dataset: Dataset, options: ScoreOptions) -> FileScore:
    from hoi_d2.data.vocabulary import hico_few_shot_hois
    from hoi_d2.evaluation import image_level_metrics as image_level

    scores = image_level.read_image_scores(path)
    dataset = _select(dataset, path, scores.image_ids, options)
    try:
        _, labels, missing = image_level.match_labels(scores, dataset.records)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    messages = [f"warning: {missing} images have no scores and were left out"] if missing else []
    if dataset.evaluator_type == "hico":
        groups = {f"few{count}": hois for count, hois in hico_few_shot_hois().items()}
        metrics = image_level.hico_metrics(scores.scores, labels, groups)
    else:
        score = image_level.IMAGE_LEVEL_METRICS[dataset.evaluator_type]
        metrics = score(scores.scores, labels)
    ap = 100 * image_level.score_image_level(scores.scores, labels)
    positives = (labels == 1).sum(axis=0)
    task = dataset.evaluator_type
    return FileScore(
        task=task,
        metrics={f"{task}/{name}": value for name, value in metrics.items()},
        header=("class_id", "num_positives", "AP"),
        table=[(c, int(positives[c]), round(float(v), 6)) for c, v in enumerate(ap)],
        messages=messages,
    )
