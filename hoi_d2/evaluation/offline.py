"""Scores result files from the command line; `tools/evaluate_results.py` is its entry."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hoi_d2.evaluation.bootstrap import Interval, bootstrap, bootstrap_difference
from hoi_d2.evaluation.error_analysis import analyze_errors
from hoi_d2.evaluation.hico_det_metrics import PROTOCOLS
from hoi_d2.evaluation.image_level_offline import score_image_level_file
from hoi_d2.evaluation.offline_data import UsageError, detection_scorer, kind_of
from hoi_d2.evaluation.reports import write_csv, write_metrics
from hoi_d2.evaluation.results import HOIResults, read_results
from hoi_d2.evaluation.results_check import check_results
from hoi_d2.evaluation.scorers import HICODetScorer, Scored, VCOCOScorer
from hoi_d2.utils.arguments import CommandParser

_EPILOG = """examples:
  %(prog)s --dataset hico_det_test --annotations test_hico.json --image-labels anno.mat \\
      --results hoi_results.npz --output metrics.json --per-class classes.csv
  %(prog)s --dataset vcoco_test --annotations vcoco_test.json --coco-annotations \\
      instances_val2014.json --image-ids vcoco_test.ids --results hoi_results.json
  %(prog)s --dataset toy_hoi_val --results hoi_results.json --bootstrap 1000
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = CommandParser(
        description="Scores a result file with the official rules of HICO-DET, V-COCO or HICO.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--dataset", required=True, help="hico_det_test, vcoco_val, hico_test, mpii_val, ...")
    add("--results", required=True, help="hoi_results.json or .npz")
    add("--annotations", help="annotation file in any known form; default: the registered one")
    add("--coco-annotations", nargs="+", help="COCO instances json, for official V-COCO labels")
    add("--image-labels", help="HICO's anno.mat, for the known-object setting")
    add("--image-ids", help="file with an image id a line: only these images count")
    add("--images-of-results", action="store_true", help="only images that occur in the results")
    add("--unknown-images", choices=("error", "drop"), help="rows in images not in the data set")
    add("--protocol", choices=list(PROTOCOLS), default="official", help="HICO-DET only")
    add("--only-annotated-classes", action="store_true", help="means over classes with pairs")
    add("--zero-shot", help="rf_uc, nf_uc, uo or uv: adds unseen and seen means")
    add("--unseen", help="file with an unseen HOI id a line: adds unseen and seen means")
    add("--train-annotations", help="HICO-DET training file: adds few-shot groups by pairs")
    add("--output", help="metrics.json, one flat object, percent")
    add("--per-class", help="table of all classes (.csv)")
    add("--bootstrap", type=int, default=0, metavar="N", help="95%% intervals from N draws")
    add("--seed", type=int, default=0, help="of the bootstrap")
    add("--compare", metavar="FILE", help="results of a baseline; differences are minus these")
    add("--errors", metavar="FILE.png", help="what costs AP, as a plot and a .csv (HICO-DET)")
    args = parser.parse_args(argv)
    if args.zero_shot and args.unseen:
        parser.error("--zero-shot and --unseen exclude each other")
    return args


def run(args: argparse.Namespace) -> dict[str, float]:
    """Scores what the command line names, prints and writes it.

    Returns:
        The metrics as written to `--output`.
    """
    if kind_of(args.dataset) in ("hico", "mpii"):
        metrics = score_image_level_file(args)
        _print_metrics(metrics, {})
    else:
        metrics = _run_detection(args)
    if args.output:
        write_metrics(args.output, metrics)
    return metrics


def _run_detection(args: argparse.Namespace) -> dict[str, float]:
    results = read_results(args.results)
    args.result_images = np.unique(results.image_ids).tolist() if args.images_of_results else []
    scorer = detection_scorer(args)
    for note in scorer.notes:
        print(f"note: {note}", file=sys.stderr)
    for warning in scorer.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    scored = scorer.score(_check(results, args.results, scorer, args))
    metrics = {f"{scorer.task}/{k}": v for k, v in scored.metrics.items()}
    intervals: dict[str, Interval] = {}
    if args.bootstrap and not args.compare:
        found = bootstrap(
            scored.system, len(scorer.image_ids), replicates=args.bootstrap, seed=args.seed
        )
        intervals = {f"{scorer.task}/{k}": v for k, v in found.items()}
    _print_metrics(metrics, intervals)
    header, table = list(scored.header), scored.table
    if args.compare:
        baseline = scorer.score(_check(read_results(args.compare), args.compare, scorer, args))
        header, table = _compare(args, scorer, scored, baseline)
    if args.per_class:
        write_csv(args.per_class, header, table)
    if args.errors:
        _errors(args, scorer, scored)
    return metrics | _flat(intervals)


def _check(
    results: HOIResults,
    source: str,
    scorer: HICODetScorer | VCOCOScorer,
    args: argparse.Namespace,
) -> HOIResults:
    # the official V-COCO tool walks through the images of its list and sees no others
    lenient = args.image_ids or scorer.task == "vcoco"
    unknown = args.unknown_images or ("drop" if lenient else "error")
    checked, warnings = check_results(
        results, scorer.vocabulary, scorer.image_ids, source=source, unknown_images=unknown
    )
    if len(results) and not len(checked) and not args.image_ids:
        raise UsageError(
            f"{source}: none of its {len(results)} rows is in an image of "
            f"{args.annotations or args.dataset}; take both of the same split"
        )
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    missed = np.setdiff1d(scorer.annotated_images, checked.image_ids)
    if len(missed):
        print(
            f"note: {source}: {len(missed)} of {len(scorer.annotated_images)} images with "
            f"annotated interactions have no row and count as missed (the first is {missed[0]}); "
            "--images-of-results leaves them out",
            file=sys.stderr,
        )
    return checked


def _compare(
    args: argparse.Namespace,
    scorer: HICODetScorer | VCOCOScorer,
    scored: Scored,
    baseline: Scored,
) -> tuple[list[str], list[list]]:
    """Prints the differences; returns the per-class table with the baseline's AP added."""
    print(f"\ndifference to {args.compare}")
    if args.bootstrap:
        differences: Mapping[str, Interval] = bootstrap_difference(
            scored.system,
            baseline.system,
            len(scorer.image_ids),
            replicates=args.bootstrap,
            seed=args.seed,
        )
        _print_metrics({k: d.value for k, d in differences.items()}, differences, "+9.4f")
    else:
        pairs = {k: v - baseline.metrics[k] for k, v in scored.metrics.items()}
        _print_metrics(pairs, {}, "+9.4f")
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
        print(f"  {row[-1]:+9.4f}  {row[-2]:8.4f} -> {row[column]:8.4f}  {_class_name(row)}")
    return [*scored.header, f"{name}_baseline", f"{name}_change"], rows


def _class_name(row: Sequence) -> str:
    texts = [value for value in row if isinstance(value, str) and value]
    return " ".join(texts)


def _errors(args: argparse.Namespace, scorer: HICODetScorer | VCOCOScorer, scored: Scored) -> None:
    from hoi_d2.evaluation.error_plot import plot_errors  # matplotlib is slow to import

    if not isinstance(scorer, HICODetScorer):
        raise UsageError("--errors is for data sets with HOI classes (HICO-DET's metric)")
    if args.protocol != "official":
        raise UsageError("--errors goes with --protocol official")
    analysis = analyze_errors(
        scored.details,
        scorer.ground_truth,
        scorer.vocabulary,
        evaluated=scorer.masks["full"],
    )
    plot_errors(args.errors, analysis, title=Path(args.results).name)
    print("\npoints of mAP gained if an error were put right (how many)")
    for name, cost in analysis.costs.items():
        print(f"  {name:14s} {cost:+8.4f}  ({analysis.counts[name]})")


def _print_metrics(
    metrics: Mapping[str, float], intervals: Mapping[str, Interval], form: str = "9.4f"
) -> None:
    width = max(map(len, metrics), default=0)
    for name, value in metrics.items():
        line = f"{name:{width}s} {value:{form}}"
        if name in intervals:
            interval = intervals[name]
            line += f"  [{interval.low:{form}}, {interval.high:{form}}]"
        print(line)


def _flat(intervals: Mapping[str, Interval]) -> dict[str, float]:
    ends: dict[str, float] = {}
    for name, interval in intervals.items():
        ends |= {f"{name}_ci_low": interval.low, f"{name}_ci_high": interval.high}
    return ends
