"""From ground truth to numbers, the same way for evaluators and for the command line.

A scorer holds the ground truth of one data set; `score` gives the metrics, the per-class table and
the ranked detections, from which intervals and comparisons are computed. No torch is imported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary, hico_det_vocabulary
from hoi_d2.evaluation import hico_det_metrics as hico_det
from hoi_d2.evaluation import vcoco_metrics as vcoco
from hoi_d2.evaluation.average_precision import System
from hoi_d2.evaluation.ground_truth import HOIGroundTruth
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.evaluation.vcoco_truth import UNOFFICIAL, VCOCOTruth, action_of_verb

HICO_DET_HEADER = (
    "hoi_id",
    "verb",
    "object",
    "rare",
    "num_positives",
    "num_detections",
    "AP_default",
    "AP_known_object",
    "recall",
)

VCOCO_HEADER = ("action", "role", "num_positives", "AP_agent", "AP_role_s1", "AP_role_s2")


@dataclass(frozen=True, eq=False)
class Scored:
    """The output of a scorer.

    Args:
        metrics: name -> percent, without the task's name.
        header: of the per-class table.
        table: one row per class.
        system: the ranked detections.
        details: `HICODetScores` or `VCOCOScores`.
    """

    metrics: dict[str, float]
    header: Sequence[str]
    table: list[list]
    system: System
    details: Any


class HICODetScorer:
    """HICO-DET's metric on one data set.

    Args:
        dataset_dicts: the images and their annotations.
        vocabulary: its HOI classes.
        rare_hois: rare classes.
        evaluated_hois: classes that the means run over, None = all.
        groups: further groups of classes to average over.
        image_labels_file: HICO's `anno.mat`, for the known-object setting.
        protocol: a key of `hico_det_metrics.PROTOCOLS`.

    Attributes:
        image_ids: (N,) of all images, ascending.
        annotated_images: (M,) of those with interactions, ascending.
        masks: group of classes -> (C,) bool; with `annotated` where some classes of `full` have no
            annotated pair.
        notes: how the metrics are computed, where that depends on the files.
        warnings: reasons why the metrics differ from the official ones.
    """

    task = "hico_det"

    def __init__(
        self,
        dataset_dicts: Sequence[dict[str, Any]],
        vocabulary: Vocabulary,
        *,
        rare_hois: Sequence[int] = (),
        evaluated_hois: Sequence[int] | None = None,
        groups: Mapping[str, Sequence[int] | np.ndarray] | None = None,
        image_labels_file: str | Path | None = None,
        protocol: str = "official",
    ) -> None:
        self.vocabulary, self.protocol = vocabulary, protocol
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.ground_truth = HOIGroundTruth.from_dataset_dicts(dataset_dicts)
        self.image_ids = self.ground_truth.image_ids
        self.annotated_images = self.image_ids[np.unique(self.ground_truth.pair_images)]
        self.rare_hois = rare_hois
        self.masks = hico_det.class_groups(len(vocabulary.hois), rare_hois, evaluated_hois, groups)
        self.object_present = self._object_present(
            image_labels_file, [d["file_name"] for d in dataset_dicts]
        )
        self._note_absent_classes()

    def score(self, results: HOIResults) -> Scored:
        """Scores checked results."""
        scores = hico_det.score_hico_det(
            results,
            self.ground_truth,
            self.vocabulary,
            protocol=self.protocol,
            object_present=self.object_present,
        )
        return Scored(
            metrics=hico_det.summarize_hico_det(scores, self.masks),
            header=HICO_DET_HEADER,
            table=hico_det_table(scores, self.vocabulary, self.rare_hois),
            system=System(
                scores.measures,
                partial(hico_det.mean_over_groups, masks=self.masks, prefix="mAP_"),
            ),
            details=scores,
        )

    def _object_present(self, file: str | Path | None, names: Sequence[str]) -> np.ndarray | None:
        if file is None and self.vocabulary.verbs != hico_det_vocabulary().verbs:
            return None  # own data has no labels of whole images
        if file is None or not Path(file).is_file():
            missing = "it was not given" if file is None else f"{file} does not exist"
            self.notes.append(
                "known object: objects are taken from the annotated pairs; the official rule takes "
                f"them from HICO's image-level labels (anno.mat), but {missing}"
            )
            return None
        from hoi_d2.evaluation.image_level_metrics import read_image_labels, split_of

        labels = read_image_labels(file, split_of(names))
        return hico_det.objects_of_labels(
            self.ground_truth, labels.image_ids, labels.labels, self.vocabulary
        )

    def _note_absent_classes(self) -> None:
        """Adds the group `annotated` where classes lack ground truth, and a warning about them."""
        truth = self.ground_truth
        counted = truth.hoi_classes[(truth.hoi_classes >= 0) & (truth.pair_objects >= 0)]
        full = self.masks["full"]
        annotated = np.zeros_like(full)
        annotated[counted] = full[counted]
        absent = full.sum() - annotated.sum()
        if not absent:
            return
        self.warnings.append(
            f"{absent} of {full.sum()} classes have no annotated pair; their AP counts as 0 in the "
            "means over all classes, as in the official tool"
        )
        if annotated.any():
            self.masks["annotated"] = annotated
            self.warnings[-1] += f"; *_annotated are the means over the other {annotated.sum()}"


class VCOCOScorer:
    """V-COCO's metrics on one split.

    Args:
        dataset_dicts: the images and their annotations, best in the official form.
        vocabulary: the action-roles.

    Attributes:
        image_ids: (N,) of all images, ascending.
        annotated_images: (M,) of those with interactions, ascending.
        notes: how the metrics are computed, where that depends on the files.
        warnings: reasons why the metrics differ from the official ones.
    """

    task = "vcoco"

    def __init__(self, dataset_dicts: Sequence[dict[str, Any]], vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.truth = VCOCOTruth.from_dataset_dicts(dataset_dicts, vocabulary)
        self.image_ids = self.truth.image_ids
        doers = self.truth.does.any(axis=1)
        self.annotated_images = self.image_ids[np.unique(self.truth.images[doers])]
        entities = (e for d in dataset_dicts for e in d.get("annotations", ()))
        official = any("labelled" in e for e in entities)
        self.notes: list[str] = []
        self.warnings = [] if official else [UNOFFICIAL]

    def score(self, results: HOIResults) -> Scored:
        """Scores checked results."""
        scores = vcoco.score_vcoco(results, self.truth, self.vocabulary)
        summarize = partial(vcoco.summarize_vcoco, vocabulary=self.vocabulary)
        return Scored(
            metrics=summarize(scores.ap_values()),
            header=VCOCO_HEADER,
            table=vcoco_table(scores, self.vocabulary),
            system=System(scores.measures, summarize),
            details=scores,
        )


def hico_det_table(
    scores: hico_det.HICODetScores, vocabulary: Vocabulary, rare_hois: Sequence[int] = ()
) -> list[list]:
    """One row per class, columns `HICO_DET_HEADER`, AP and recall in percent."""
    rare = set(rare_hois)
    columns = (scores.ap_default, scores.ap_known_object, scores.recall)
    rows = []
    for hoi, (obj, verb) in enumerate(vocabulary.hois):
        values = _percent(column[hoi] for column in columns)
        counts = [int(scores.num_positives[hoi]), int(scores.num_detections[hoi])]
        names = [vocabulary.verbs[verb], vocabulary.objects[obj]]
        rows.append([hoi, *names, int(hoi in rare), *counts, *values])
    return rows


def _percent(values: Iterable[float]) -> list[str | float]:
    """In percent; NaN (no ground truth) becomes an empty field."""
    return ["" if math.isnan(v) else round(100 * float(v), 6) for v in values]


def vcoco_table(scores: vcoco.VCOCOScores, vocabulary: Vocabulary) -> list[list]:
    """One row per action-role, columns `VCOCO_HEADER`, AP in percent."""
    _, action_of = action_of_verb(vocabulary.verbs)
    rows = []
    for verb, name in enumerate(vocabulary.verbs):
        action = action_of[verb]
        role = name[len(scores.actions[action]) + 1 :]
        values = _percent((scores.agent[action], scores.role_s1[verb], scores.role_s2[verb]))
        rows.append([scores.actions[action], role, int(scores.num_positives[action]), *values])
    return rows
