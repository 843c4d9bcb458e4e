"""Scores a file of image-level scores (HICO recognition, MPII) from the command line."""

from __future__ import annotations

import argparse
import sys

from hoi_d2.data.vocabulary import hico_few_shot_hois
from hoi_d2.evaluation.image_level_metrics import (
    hico_metrics,
    match_labels,
    mpii_metrics,
    score_image_level,
)
from hoi_d2.evaluation.image_scores import read_image_scores
from hoi_d2.evaluation.offline_data import UsageError, image_level_labels, kind_of
from hoi_d2.evaluation.reports import write_csv


def score_image_level_file(args: argparse.Namespace) -> dict[str, float]:
    """The metrics of `args.results`, an `.npz` with `image_id` (N,) and `scores` (N, C).

    Raises:
        UsageError: an option that needs boxes.
        ResultFormatError, DataFormatError, ValueError: the files are not what they should be.
    """
    for option in ("bootstrap", "compare", "errors"):
        if getattr(args, option):
            raise UsageError(f"--{option} is for results with boxes")
    scores = read_image_scores(args.results)
    args.result_images = scores.image_ids.tolist()
    kind = kind_of(args.dataset)
    dataset_dicts = image_level_labels(args)
    try:
        _, labels, missing = match_labels(scores, dataset_dicts)
    except ValueError as error:
        raise UsageError(f"{args.results}: {error}") from None
    if missing:
        print(f"warning: {missing} images have no scores and were left out", file=sys.stderr)
    if kind == "hico":
        groups = {f"few{count}": hois for count, hois in hico_few_shot_hois().items()}
        metrics = hico_metrics(scores.scores, labels, groups)
    else:
        metrics = mpii_metrics(scores.scores, labels)
    if args.per_class:
        ap = 100 * score_image_level(scores.scores, labels)
        positives = (labels == 1).sum(axis=0)
        rows = [(c, int(positives[c]), round(float(v), 6)) for c, v in enumerate(ap)]
        write_csv(args.per_class, ("class_id", "num_positives", "AP"), rows)
    return {f"{kind}/{name}": value for name, value in metrics.items()}
