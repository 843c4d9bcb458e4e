"""Scores result files from the command line: the arguments of `evaluation.score_file`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hoi_d2.data.dataset import IMAGE_LEVEL_TYPES, Dataset, open_dataset
from hoi_d2.evaluation.hico_det_metrics import PROTOCOLS
from hoi_d2.evaluation.result_files import read_results, write_csv, write_metrics
from hoi_d2.evaluation.score_file import (
    FileScore,
    ScoreOptions,
    UsageError,
    score_file,
    score_results,
)
from hoi_d2.evaluation.scorers import HICODetScorer, Scored
from hoi_d2.utils.arguments import CommandParser

_EPILOG = """examples:
  %(prog)s --dataset hico_det_test --annotations test_hico.json --image-labels anno.mat \\
      --results hoi_results.npz --output metrics.json --per-class classes.csv
  %(prog)s --dataset vcoco_test --annotations vcoco_test.json --coco-annotations \\
      instances_val2014.json --image-ids vcoco_test.ids --results hoi_results.json
  %(prog)s --dataset toy_hoi_val --results hoi_results.json --bootstrap 1000
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Scores a file; returns the exit status, 2 for input that cannot be scored."""
    args = parse_args(argv)
    run(args)
    return 0


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(
        description="Scores a result file with the official rules of HICO-DET, V-COCO or HICO.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--dataset", required=True, help="hico_det_test, vcoco_val, hico_test, mpii_val, ...")
    add("--results", required=True, help="hoi_results.json, .npz, or .parquet of predict")
    add("--annotations", help="annotation file in any known format; default: the registered one")
    add("--coco-annotations", nargs="+", help="COCO instances json, for official V-COCO labels")
    add("--image-labels", help="HICO's anno.mat, for the known-object setting")
    add("--image-ids", help="file with one image id per line: only these images count")
    add("--images-of-results", action="store_true", help="only images that occur in the results")
    add(
        "--unknown-images",
        choices=("error", "drop"),
        help="how to treat rows in images that are not in the data set",
    )
    add("--protocol", choices=list(PROTOCOLS), default="official", help="HICO-DET only")
    add(
        "--only-annotated-classes",
        action="store_true",
        help="means over classes with an annotated pair",
    )
    add("--zero-shot", help="rf_uc, nf_uc, uo or uv: adds unseen and seen means")
    add("--unseen", help="file with one unseen HOI id per line: adds unseen and seen means")
    add("--train-annotations", help="HICO-DET training file: adds few-shot groups by pairs")
    add("--output", help="metrics.json, one flat object, percent")
    add("--per-class", help="table of all classes (.csv)")
    add("--bootstrap", type=int, default=0, metavar="N", help="95%% intervals from N samples")
    add("--seed", type=int, default=0, help="seed of the bootstrap")
    add("--compare", metavar="FILE", help="results of a baseline to compare with")
    add(
        "--errors",
        metavar="FILE.png",
        help="plot and .csv of the AP that each kind of error costs (HICO-DET)",
    )
    args = parser.parse_args(argv)
    if args.zero_shot and args.unseen:
        parser.error("--zero-shot and --unseen cannot be combined")
    return args


def run(args: argparse.Namespace) -> dict[str, float]:
    """Scores the given results, prints and writes the metrics.

    Returns:
        The metrics as written to `--output`.
    """
    dataset = _open(args)
    if dataset.evaluator_type in IMAGE_LEVEL_TYPES:
        for option in ("bootstrap", "compare", "errors"):
            if getattr(args, option):
                raise UsageError(f"--{option} is for results with boxes")
    options = _options(args, len(dataset.vocabulary.hois))
    score = score_file(args.results, dataset, options)
    for message in score.messages:
        print(message, file=sys.stderr)
    intervals: dict[str, tuple[float, float]] = {}
    if args.bootstrap and not args.compare and score.scored and score.scorer:
        from hoi_d2.evaluation.bootstrap import bootstrap

        images = len(score.scorer.image_ids)
        found = bootstrap(score.scored.system, images, replicates=args.bootstrap, seed=args.seed)
        intervals = {f"{score.task}/{name}": (i.low, i.high) for name, i in found.items()}
    _print_metrics(score.metrics, intervals)
    header, table = score.header, score.table
    if args.compare:
        header, table = _compare(args, dataset, options, score)
    if args.per_class:
        write_csv(args.per_class, header, table)
    if args.errors:
        _errors(args, score)
    metrics = score.metrics | _flat(intervals)
    if args.output:
        write_metrics(args.output, metrics)
    return metrics


def kind_of(dataset: str) -> str:
    """`hico_det`, `vcoco`, `hico`, `mpii` or `stanford40` by the data set's name, else ""."""
    kinds = ("hico_det", "vcoco", *IMAGE_LEVEL_TYPES)
    return next((k for k in kinds if dataset == k or dataset.startswith(f"{k}_")), "")


def _open(args: argparse.Namespace) -> Dataset:
    if args.annotations:
        return open_dataset(
            args.annotations,
            file_format=kind_of(args.dataset) or "hoi_json",
            split="train" if "train" in args.dataset else "test",
            coco_annotations=args.coco_annotations or (),
        )
    from hoi_d2.registration import register  # needs torch; a file of annotations does not

    register()
    try:
        return open_dataset(args.dataset)
    except KeyError as error:
        raise UsageError(
            f"--dataset {args.dataset} is not registered; give its --annotations ({error.args[0]})"
        ) from None


def _options(args: argparse.Namespace, num_classes: int) -> ScoreOptions:
    return ScoreOptions(
        image_ids=args.image_ids,
        images_of_results=args.images_of_results,
        unknown_images=args.unknown_images,
        protocol=args.protocol,
        only_annotated_classes=args.only_annotated_classes,
        groups=_groups(args, num_classes),
        image_labels_file=args.image_labels,
    )


def _groups(args: argparse.Namespace, num_classes: int) -> dict[str, Sequence[int] | np.ndarray]:
    """The groups of HOI classes that `--zero-shot`, `--unseen` and `--train-annotations` add."""
    groups: dict[str, Sequence[int] | np.ndarray] = {}
    unseen: Sequence[int] = ()
    if args.zero_shot:
        from hoi_d2.data.vocabulary import hico_det_unseen_hois

        try:
            unseen = hico_det_unseen_hois(args.zero_shot)
        except KeyError as error:
            raise UsageError(f"--zero-shot: {error.args[0]}") from None
    elif args.unseen:
        from hoi_d2.data.datasets.vcoco import read_image_ids

        unseen = read_image_ids(args.unseen)
        if max(unseen, default=-1) >= num_classes:
            raise UsageError(f"{args.unseen}: HOI id {max(unseen)}, expected 0..{num_classes - 1}")
    if len(unseen):
        seen = np.setdiff1d(np.arange(num_classes), unseen)
        groups |= {"unseen": unseen, "seen": seen.tolist()}
    if args.train_annotations:
        from hoi_d2.data.datasets.hico_det import load_hico_det
        from hoi_d2.evaluation.image_level_metrics import few_shot_groups

        records = load_hico_det(args.train_annotations)
        hois = [pair["hoi"] for record in records for pair in record["hoi_annotations"]]
        groups |= few_shot_groups(np.bincount(hois, minlength=num_classes))
    return groups


def _compare(
    args: argparse.Namespace, dataset: Dataset, options: ScoreOptions, score: FileScore
) -> tuple[list[str], list[list]]:
    """Prints the differences; returns the per-class table with the baseline's AP added."""
    from hoi_d2.evaluation.bootstrap import bootstrap_difference

    assert score.scorer is not None and score.scored is not None  # it has boxes: `run` has checked
    baseline, messages = score_results(
        read_results(args.compare), args.compare, score.scorer, dataset.name, options
    )
    for message in messages:
        print(message, file=sys.stderr)
    print(f"\ndifference to {args.compare}")
    if args.bootstrap:
        differences = bootstrap_difference(
            score.scored.system,
            baseline.system,
            len(score.scorer.image_ids),
            replicates=args.bootstrap,
            seed=args.seed,
        )
        ends = {name: (d.low, d.high) for name, d in differences.items()}
        _print_metrics({name: d.value for name, d in differences.items()}, ends, "+9.4f")
    else:
        pairs = {name: v - baseline.metrics[name] for name, v in score.scored.metrics.items()}
        _print_metrics(pairs, {}, "+9.4f")
    return _compare_classes(score.scored, baseline)


def _compare_classes(scored: Scored, baseline: Scored) -> tuple[list[str], list[list]]:
    column = next(i for i, name in enumerate(scored.header) if name.startswith("AP_"))
    rows = []
    for ours, theirs in zip(scored.table, baseline.table):
        defined = ours[column] != "" and theirs[column] != ""
        change = round(ours[column] - theirs[column], 6) if defined else ""
        rows.append([*ours, theirs[column], change])
    name = scored.header[column]
    print(f"\nclasses that changed most ({name})")
    changed = sorted((r for r in rows if r[-1]), key=lambda r: -abs(r[-1]))
    for row in changed[:15]:
        class_name = " ".join(value for value in row if isinstance(value, str) and value)
        print(f"  {row[-1]:+9.4f}  {row[-2]:8.4f} -> {row[column]:8.4f}  {class_name}")
    return [*scored.header, f"{name}_baseline", f"{name}_change"], rows


def _errors(args: argparse.Namespace, score: FileScore) -> None:
    from hoi_d2.evaluation.error_analysis import analyze_errors
    from hoi_d2.visualization.plots.errors import plot_errors  # matplotlib is slow to import

    if not isinstance(score.scorer, HICODetScorer) or score.scored is None:
        raise UsageError("--errors is for data sets with HOI classes (HICO-DET's metric)")
    if args.protocol != "official":
        raise UsageError("--errors needs --protocol official")
    scorer = score.scorer
    analysis = analyze_errors(
        score.scored.details,
        scorer.ground_truth,
        scorer.vocabulary,
        evaluated=scorer.masks["full"],
    )
    plot_errors(args.errors, analysis, title=Path(args.results).name)
    print("\npoints of mAP gained if an error were corrected (how many)")
    for name, cost in analysis.costs.items():
        print(f"  {name:14s} {cost:+8.4f}  ({analysis.counts[name]})")


def _print_metrics(
    metrics: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    form: str = "9.4f",
) -> None:
    width = max(map(len, metrics), default=0)
    for name, value in metrics.items():
        line = f"{name:{width}s} {value:{form}}"
        if name in intervals:
            low, high = intervals[name]
            line += f"  [{low:{form}}, {high:{form}}]"
        print(line)


def _flat(intervals: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    ends: dict[str, float] = {}
    for name, (low, high) in intervals.items():
        ends |= {f"{name}_ci_low": low, f"{name}_ci_high": high}
    return ends
