"""HICO-DET's metric on arrays: the official rule and the published variants of it.

A detection is true if the annotated pair of its class that it overlaps most, with
min(IoU_human, IoU_object) >= 0.5, has not been claimed by a better detection. There is no second
choice. AP is the mean precision at 11 recalls. Source: HO-RCNN's MATLAB code; `docs/evaluation.md`
has the rules in full and what each variant changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation import average_precision as ap
from hoi_d2.evaluation import matching
from hoi_d2.evaluation.average_precision import Measure
from hoi_d2.evaluation.ground_truth import HOIGroundTruth, rows_of_images
from hoi_d2.evaluation.results import HOIResults, fill_hoi_classes

IOU_THRESHOLD = 0.5


@dataclass(frozen=True)
class Protocol:
    """The differences of a published tool from the official rule.

    Args:
        name: its name on the command line.
        one_based_truth: overlaps are taken between the 1-based inclusive boxes of the file and
            0-based float32 detections, with +1, and are 0 where one row of pixels is shared.
        limit: detections of an image that count, None = all.
        nms: threshold of the pair-wise NMS, None = none.
        thresholds: recalls of the 11-point AP.
    """

    name: str
    one_based_truth: bool = False
    limit: int | None = None
    nms: float | None = None
    thresholds: tuple[float, ...] = tuple(ap.MATLAB_THRESHOLDS.tolist())


_PEER: dict[str, Any] = {
    "one_based_truth": True,
    "limit": 100,
    "thresholds": tuple(ap.NUMPY_THRESHOLDS.tolist()),
}

PROTOCOLS: Mapping[str, Protocol] = {
    "official": Protocol("official"),
    "qpic": Protocol("qpic", **_PEER),
    "cdn": Protocol("cdn", nms=0.7, **_PEER),
}


@dataclass(frozen=True, eq=False)
class HICODetScores:
    """The values of HICO-DET's metric for each of C classes.

    Args:
        ap_default: (C,) fractions; 0 without detections or without ground truth.
        ap_known_object: (C,) the same, detections only in images that hold the object.
        recall: (C,) final recall, NaN without ground truth.
        num_positives: (C,) annotated pairs.
        num_detections: (C,).
        measures: `default` and `known_object`; `rows` of their rankings index `results`.
        results: the R rows that were scored: those with a class and a known image, image by image.
        rows: (R,) row of each of `results` in the results that were given.
        claims: (R,) the annotated pair (row of the ground truth) that each of `results` overlaps
            most with at least one half, -1 = none; the best row that claims a pair is true.
        positives: (P,) rows of the ground truth that count: pairs with a class and an object.
    """

    ap_default: np.ndarray
    ap_known_object: np.ndarray
    recall: np.ndarray
    num_positives: np.ndarray
    num_detections: np.ndarray
    measures: Mapping[str, Measure]
    results: HOIResults
    rows: np.ndarray
    claims: np.ndarray
    positives: np.ndarray


def score_hico_det(
    results: HOIResults,
    ground_truth: HOIGroundTruth,
    vocabulary: Vocabulary,
    *,
    protocol: str | Protocol = "official",
    object_present: np.ndarray | None = None,
) -> HICODetScores:
    """Scores detections as HICO-DET does.

    Args:
        results: the detections; rows without an HOI class or in an unknown image are not counted
            (`results_check.check_results` refuses or reports those).
        ground_truth: the annotations; pairs without HOI class or visible object do not count.
        vocabulary: its C HOI classes.
        protocol: a key of `PROTOCOLS`, or your own.
        object_present: (N, num_objects) bool, which objects each image holds for the known-object
            setting; None = those of the annotated pairs.

    Returns:
        AP of every class in both settings, and what they were computed from.
    """
    protocol = PROTOCOLS[protocol] if isinstance(protocol, str) else protocol
    results, images, rows = _scorable(results, ground_truth, vocabulary)
    num_classes = len(vocabulary.hois)
    truth_rows, truth = _truth_table(ground_truth, num_classes, protocol)
    order, claims = _judge(results, images, truth, num_classes, protocol)
    classes = ground_truth.hoi_classes[truth_rows]
    ranking = ap.Ranking(
        rows=order,
        classes=results.hoi_classes[order],
        true_positive=matching.first_claims(claims[order]),
        num_positives=np.bincount(classes, minlength=num_classes),
    )
    if object_present is None:
        object_present = objects_of_pairs(ground_truth, len(vocabulary.objects))
    known = object_present[images[order], vocabulary.hois[ranking.classes, 0]]
    rule = partial(ap.interpolated_ap, thresholds=np.asarray(protocol.thresholds))
    default = Measure(ranking, images[order], truth.keys // num_classes, classes, rule)
    known_object = default.select(known)
    return HICODetScores(
        ap_default=default.average_precision(),
        ap_known_object=known_object.average_precision(),
        recall=ap.final_recall(ap.hits_of(ranking)),
        num_positives=ranking.num_positives,
        num_detections=ranking.num_detections,
        measures={"default": default, "known_object": known_object},
        results=results,
        rows=rows,
        positives=truth_rows,
        claims=np.where(claims < 0, -1, truth_rows[claims]) if len(truth_rows) else claims,
    )


def objects_of_pairs(ground_truth: HOIGroundTruth, num_objects: int) -> np.ndarray:
    """Returns (N, num_objects) bool, whether the image has an annotated pair with the object."""
    present = np.zeros((len(ground_truth.image_ids), num_objects), dtype=bool)
    objects = ground_truth.object_classes
    visible = objects >= 0
    present[ground_truth.pair_images[visible], objects[visible]] = True
    return present


def objects_of_labels(
    ground_truth: HOIGroundTruth,
    image_ids: np.ndarray,
    labels: np.ndarray,
    vocabulary: Vocabulary,
) -> np.ndarray:
    """Returns which objects an image holds by HICO's image-level labels (official known object).

    Args:
        ground_truth: the images to answer for.
        image_ids: (M,) of the labels.
        labels: (M, C) 1 = the HOI is in the image; anything else = not or not known.
        vocabulary: its C HOI classes.

    Returns:
        (N, num_objects) bool.

    Raises:
        ValueError: an image of the ground truth has no labels.
    """
    order = np.argsort(image_ids)
    rows = rows_of_images(ground_truth.image_ids, image_ids[order])
    if (rows < 0).any():
        missing = ground_truth.image_ids[rows < 0]
        raise ValueError(
            f"{len(missing)} images of the ground truth have no image-level labels, the first is "
            f"{missing[0]}; give the label file of the same split"
        )
    positive = labels[order[rows]] == 1
    present = np.zeros((len(rows), len(vocabulary.objects)), dtype=bool)
    for hoi, (obj, _) in enumerate(vocabulary.hois):
        present[:, obj] |= positive[:, hoi]
    return present


def summarize_hico_det(scores: HICODetScores, masks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Means over groups of classes, in percent.

    Args:
        scores: of `score_hico_det`.
        masks: group -> (C,) bool, of `class_groups`.

    Returns:
        `mAP_default_full`, `_rare`, `_nonrare`, `mAP_known_object_*`, `recall_*`, and the same for
        each further group; a group without classes is left out.
    """
    ap_values = {"default": scores.ap_default, "known_object": scores.ap_known_object}
    recall = {"recall": np.nan_to_num(scores.recall)}
    return mean_over_groups(ap_values, masks, "mAP_") | mean_over_groups(recall, masks)


def mean_over_groups(
    values: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], prefix: str = ""
) -> dict[str, float]:
    """Means in percent of (C,) fractions over groups of classes; NaN classes are left out.

    Returns:
        `<prefix><value>_<group>` -> mean, for the groups that have a class.
    """
    means = {}
    for name, value in values.items():
        for group, mask in masks.items():
            chosen = value[mask & ~np.isnan(value)]
            if mask.any():
                means[f"{prefix}{name}_{group}"] = 100 * float(chosen.mean() if len(chosen) else 0)
    return means


def class_groups(
    num_classes: int,
    rare_hois: Sequence[int] = (),
    evaluated_hois: Sequence[int] | None = None,
    groups: Mapping[str, Sequence[int] | np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Returns which classes each mean runs over.

    Args:
        num_classes: C.
        rare_hois: the rare classes; all others are non-rare.
        evaluated_hois: the classes that count at all, None = all.
        groups: further groups, e.g. `{"unseen": [...], "seen": [...]}`.

    Returns:
        `full`, `rare`, `nonrare` and each further group -> (C,) bool.
    """

    def mask(classes: Sequence[int] | np.ndarray) -> np.ndarray:
        chosen = np.zeros(num_classes, dtype=bool)
        chosen[np.asarray(classes, dtype=np.int64)] = True
        return chosen

    full = mask(range(num_classes) if evaluated_hois is None else evaluated_hois)
    rare = mask(rare_hois)
    masks = {"full": full, "rare": full & rare, "nonrare": full & ~rare}
    return masks | {name: full & mask(classes) for name, classes in (groups or {}).items()}


def _scorable(
    results: HOIResults, ground_truth: HOIGroundTruth, vocabulary: Vocabulary
) -> tuple[HOIResults, np.ndarray, np.ndarray]:
    """Returns rows with a class and a known image, by image; their images; their old indices."""
    results = fill_hoi_classes(results, vocabulary)
    images = rows_of_images(results.image_ids, ground_truth.image_ids)
    rows = np.flatnonzero((images >= 0) & (results.hoi_classes >= 0))
    if (np.diff(images[rows]) < 0).any():  # most files are in order: sorting copies every column
        rows = rows[np.argsort(images[rows], kind="stable")]
    elif len(rows) == len(results):
        return results, images, rows
    return results[rows], images[rows], rows


def _truth_table(
    ground_truth: HOIGroundTruth, num_classes: int, protocol: Protocol
) -> tuple[np.ndarray, matching.PairTable]:
    keep = (ground_truth.hoi_classes >= 0) & (ground_truth.pair_objects >= 0)
    rows = np.flatnonzero(keep)
    shift = np.array([1.0, 1.0, 0.0, 0.0]) if protocol.one_based_truth else 0.0
    table = matching.PairTable(
        keys=ground_truth.pair_images[rows] * num_classes + ground_truth.hoi_classes[rows],
        human_boxes=ground_truth.human_boxes[rows] + shift,
        object_boxes=ground_truth.object_boxes[rows] + shift,
    )
    return rows, table


def _judge(
    results: HOIResults,
    images: np.ndarray,
    truth: matching.PairTable,
    num_classes: int,
    protocol: Protocol,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows that count, ranked; the row of `truth` that each of `results` claims."""
    keys = images * num_classes + results.hoi_classes
    peer = protocol.one_based_truth
    kind = np.float32 if peer else np.float64
    boxes = [b.astype(kind, copy=False) for b in (results.human_boxes, results.object_boxes)]
    table = matching.PairTable(keys, *boxes)
    counted = _counted(table, images, results.scores, protocol)
    order = matching.rank(results.hoi_classes[counted], results.scores[counted])
    order = counted[order]
    best, overlap = matching.best_pairs(table, truth, pixel=float(peer), strict=peer)
    claims = np.where(overlap >= IOU_THRESHOLD, best, -1)
    return order, claims


def _counted(
    table: matching.PairTable, images: np.ndarray, scores: np.ndarray, protocol: Protocol
) -> np.ndarray:
    """Returns rows left by the protocol's limit and NMS, in their own order."""
    rows = np.arange(len(scores))
    if protocol.limit is not None:
        rows = rows[matching.top_per_image(images, scores, protocol.limit)]
    if protocol.nms is not None:
        part = matching.PairTable(
            table.keys[rows], table.human_boxes[rows], table.object_boxes[rows]
        )
        keep = matching.pair_nms(part, scores[rows], threshold=protocol.nms, object_power=0.5)
        rows = rows[keep]
    return rows
