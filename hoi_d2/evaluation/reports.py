"""What evaluators leave in their output folder: metrics, per-class table, results."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation.hico_det_metrics import HICODetScores
from hoi_d2.evaluation.vcoco_metrics import VCOCOScores
from hoi_d2.evaluation.vcoco_truth import action_of_verb


def write_metrics(path: str | Path, metrics: Mapping[str, float]) -> None:
    """Writes one flat JSON object; a metric that is not defined becomes null."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {k: None if math.isnan(v) else v for k, v in metrics.items()}
    path.write_text(json.dumps(values, indent=2) + "\n")


def write_csv(path: str | Path, header: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Writes a table."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


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


def hico_det_table(
    scores: HICODetScores, vocabulary: Vocabulary, rare_hois: Sequence[int] = ()
) -> list[list]:
    """One row a class, columns `HICO_DET_HEADER`, AP and recall in percent."""
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
    """In percent; a NaN, which has no ground truth, is an empty field."""
    return ["" if math.isnan(v) else round(100 * float(v), 6) for v in values]


VCOCO_HEADER = ("action", "role", "num_positives", "AP_agent", "AP_role_s1", "AP_role_s2")


def vcoco_table(scores: VCOCOScores, vocabulary: Vocabulary) -> list[list]:
    """One row an action-role, columns `VCOCO_HEADER`, AP in percent."""
    _, action_of = action_of_verb(vocabulary.verbs)
    rows = []
    for verb, name in enumerate(vocabulary.verbs):
        action = action_of[verb]
        role = name[len(scores.actions[action]) + 1 :]
        values = _percent((scores.agent[action], scores.role_s1[verb], scores.role_s2[verb]))
        rows.append([scores.actions[action], role, int(scores.num_positives[action]), *values])
    return rows
