"""Selects images and computes the numbers, curves and tables of an evaluation's page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hoi_d2.data.dataset import Dataset
from hoi_d2.evaluation.vcoco_metrics import UNCOUNTED_ROLES
from hoi_d2.visualization.pages.browse import evenly, hoi_of_entry, index_of
from hoi_d2.visualization.pages.comparison import Comparison
from hoi_d2.visualization.pages.html import GalleryTable
from hoi_d2.visualization.plots.curves import (
    PrecisionRecall,
    plot_calibration,
    plot_precision_recall,
)
from hoi_d2.visualization.plots.evaluation import plot_ap_by_samples, plot_class_ap


def classes_named(comparison: Comparison, names: Sequence[str]) -> list[int]:
    """Returns class ids of names such as "ride bicycle", "bicycle" (all its HOIs) or "ride".

    Raises:
        ValueError: no class has the name; the message lists similar ones.
    """
    known = comparison.class_names()
    vocabulary = comparison.vocabulary
    found: list[int] = []
    for name in names:
        plain = name.replace("_", " ")
        parts = [
            (vocabulary.objects, vocabulary.hois[:, 0]),
            (vocabulary.verbs, vocabulary.hois[:, 1]),
        ]
        for part, column in parts:
            if len(column) and plain in [p.replace("_", " ") for p in part]:
                found += np.flatnonzero(column == index_of(name, part, "class")).tolist()
                break
        else:
            found.append(index_of(name, known, "HOI"))
    return sorted(set(found))


def order_images(
    comparison: Comparison,
    *,
    score_threshold: float,
    classes: Sequence[int] = (),
    worst_first: bool = False,
    num: int | None = None,
    there: np.ndarray | None = None,
) -> list[int]:
    """Returns the rows of images with annotations or detections, in the order of the page.

    Args:
        comparison: of the whole dataset.
        score_threshold: minimum score of a detection.
        classes: only these; empty = all.
        worst_first: sort by number of errors, then by F1; otherwise the order of the dataset,
            spread evenly if `num` is smaller.
        num: maximum number; None = all.
        there: (N,) bool, whether the image is on disk; others are not chosen if `num` is smaller.
    """
    hits, misses, alarms = comparison.count(score_threshold=score_threshold, classes=classes)
    errors = misses + alarms
    rows = np.flatnonzero(hits + errors)
    if num is not None and len(rows) > num and there is not None:
        rows = rows[there[rows]]
    if worst_first:
        f1 = 2 * hits / np.maximum(2 * hits + errors, 1)
        rows = rows[np.lexsort((rows, f1[rows], -errors[rows]))][:num]
    elif num is not None and len(rows) > num:
        rows = rows[evenly(len(rows), num)]
    return rows.tolist()


def summarize(
    comparison: Comparison, dataset: Dataset, *, score_threshold: float, num_drawn: int
) -> str:
    """Returns the lines at the top of the page."""
    hits, misses, alarms = (int(n.sum()) for n in comparison.count(score_threshold=score_threshold))
    precision, recall = hits / max(hits + alarms, 1), hits / max(hits + misses, 1)
    return (
        f"{len(comparison.results)} detections, {hits + misses} annotated interactions in "
        f"{len(dataset.records)} images; {_headline(comparison, dataset)}.\n"
        f"With score >= {score_threshold:.3f}: {hits} hits, {misses} missed, {alarms} false "
        f"alarms; precision {precision:.3f}, recall {recall:.3f}. {num_drawn} images chosen."
    )


def _headline(comparison: Comparison, dataset: Dataset) -> str:
    """Returns the mean over the evaluated classes, and over those of them with ground truth."""
    ap = comparison.average_precision
    if dataset.evaluator_type == "vcoco":
        roles = [v.endswith(("_obj", "_instr")) for v in comparison.vocabulary.verbs]
        counted = roles & ~np.isin(comparison.vocabulary.verbs, UNCOUNTED_ROLES)
        return f"AP_role_s1 {np.nan_to_num(ap[counted]).mean():.2f}"
    if dataset.evaluated_hois is not None and len(comparison.vocabulary.hois):
        ap = ap[list(dataset.evaluated_hois)]
    if not len(ap):
        return "no classes"
    mean = f"mAP {np.nan_to_num(ap).mean():.2f}"
    annotated = ap[~np.isnan(ap)]
    if len(annotated) in (0, len(ap)):
        return mean
    return (
        f"{mean} over {len(ap)} classes, {annotated.mean():.2f} over the {len(annotated)} that "
        "have an annotated pair"
    )


def draw_figures(
    comparison: Comparison, dataset: Dataset, output: str | Path, *, train: Dataset | None = None
) -> tuple[list[tuple[str, str]], list[GalleryTable]]:
    """Draws all figures into `output/figures`.

    Args:
        comparison: of the whole dataset.
        dataset: its names and rare classes.
        output: the folder of the page.
        train: the training set, for AP by number of training samples.

    Returns:
        (path relative to the page, caption) of the figures, and the per-class table.
    """
    folder = Path(output) / "figures"
    names, ap = comparison.class_names(), comparison.average_precision
    rare = np.isin(np.arange(len(ap)), list(dataset.rare_hois)) & bool(len(dataset.vocabulary.hois))
    counts = None if train is None else class_counts(train)
    plot_class_ap(folder / "class_ap.png", names, ap, rare=rare)
    plot_precision_recall(folder / "precision_recall.png", _curves(comparison, rare))
    rows = comparison.ranking.rows
    scores = comparison.results.scores[rows]
    figures = [("class_ap", "AP of each class"), ("precision_recall", "Precision and recall")]
    if len(scores) and 0 <= scores.min() and scores.max() <= 1:
        plot_calibration(folder / "calibration.png", scores, comparison.judgement.hit[rows])
        figures.append(("calibration", "Calibration of the scores"))
    if train is not None and counts is not None:
        plot_ap_by_samples(folder / "ap_by_samples.png", names, ap, counts, rare=rare)
        figures.append(("ap_by_samples", f"AP and training samples in {train.name}"))
    return [(f"figures/{n}.png", c) for n, c in figures], [_table(comparison, ap, rare, counts)]


def class_counts(dataset: Dataset) -> np.ndarray:
    """(C,) annotated interactions of each HOI class, or of each verb without HOI classes."""
    vocabulary = dataset.vocabulary
    by_hoi = bool(len(vocabulary.hois))
    counts = np.zeros(len(vocabulary.hois) if by_hoi else len(vocabulary.verbs), dtype=np.int64)
    for record in dataset.records:
        for entry in record.get("hoi_annotations", ()):
            c = hoi_of_entry(record, entry, vocabulary) if by_hoi else entry["verb"]
            if c >= 0:
                counts[c] += 1
    return counts


def _curves(comparison: Comparison, rare: np.ndarray) -> dict[str, PrecisionRecall]:
    ranking = comparison.ranking
    groups = {"all classes": np.ones(len(rare), dtype=bool)}
    if rare.any() and not rare.all():
        groups |= {"rare": rare, "non-rare": ~rare}
    curves = {}
    for name, chosen in groups.items():
        inside = chosen[ranking.classes]
        curves[name] = PrecisionRecall.of(
            comparison.results.scores[ranking.rows[inside]],
            ranking.true_positive[inside],
            int(ranking.num_positives[chosen].sum()),
        )
    return curves


def _table(
    comparison: Comparison, ap: np.ndarray, rare: np.ndarray, counts: np.ndarray | None
) -> GalleryTable:
    ranking = comparison.ranking
    found = np.bincount(ranking.classes[ranking.true_positive], minlength=len(ap))
    columns = ["class", "rare", "AP", "annotated", "detections", "hits"]
    values = [ranking.num_positives, ranking.num_detections, found]
    if counts is not None:
        columns.append("training samples")
        values.append(counts)
    rows = [
        [name, "rare" if rare[c] else "", round(float(ap[c]), 2), *(int(v[c]) for v in values)]
        for c, name in enumerate(comparison.class_names())
        if ranking.num_positives[c] or ranking.num_detections[c]
    ]
    return GalleryTable("Classes", columns, rows)
