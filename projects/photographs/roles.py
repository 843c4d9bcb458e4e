"""What the photo model finds of annotated photographs with the boxes of its detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from annotated import Photograph, annotated_photographs
from tabulate import tabulate
from torchvision.ops import box_iou

from hoi_d2.data.vocabulary import NO_INTERACTION
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.inference.predictor import get_model
from hoi_d2.visualization.plots.curves import calibration_bins

SCORES = (0.1, 0.2, 0.3, 0.4)
NUM_BINS = 5
VCOCO = ["MODEL.WEIGHTS", "hoi_d2://photo/layout_vcoco.safetensors", "MODEL.HOI.VOCABULARY"]
VCOCO += ["vcoco", "MODEL.RMLR.LAYOUT.HIDDEN_DIM", 192]
"""What makes photo.yaml name V-COCO's action-roles instead of HICO-DET's verbs."""
RIGHT, WRONG, UNKNOWN = 1, 0, -1


class Judged(NamedTuple):
    """The interactions that were found in some photographs.

    Attributes:
        scores: (R,).
        verdicts: (R,) `RIGHT`, `WRONG`, or `UNKNOWN`: its human is not annotated.
        annotated: triplets that are to be found.
    """

    scores: np.ndarray
    verdicts: np.ndarray
    annotated: int


def role_tables(folder: Path) -> str:
    """Right, wrong and missed triplets by the lowest score, and the share right by score."""
    photographs = annotated_photographs(folder)
    hico = [p for p in photographs if p.split.startswith("hico_det")]
    vcoco = [p for p in photographs if not p.split.startswith("hico_det")]
    groups = {
        "V-COCO, test": (VCOCO, [p for p in vcoco if p.split == "vcoco test"]),
        "V-COCO, trainval": (VCOCO, [p for p in vcoco if p.split != "vcoco test"]),
        "HICO-DET, test": ([], hico),
    }
    judged = {name: _judged(*group) for name, group in groups.items()}
    text = []
    for name, (_, images) in groups.items():
        text.append(f"{name}: {len(images)} photographs, {judged[name].annotated} triplets")
        text.append(count_table(judged[name]))
    text += ["V-COCO, test: share right by score", reliability_table(judged["V-COCO, test"])]
    return "\n\n".join(text)


def _judged(options: list[Any], photographs: list[Photograph]) -> Judged:
    predictor = get_model("photo", options=options)
    predictions = predictor([p.path for p in photographs])
    found = [judge(p, truth) for p, truth in zip(predictions, photographs)]
    scores, verdicts = (np.concatenate(parts) for parts in zip(*found))
    names = predictor.vocabulary.verbs
    verbs = [names[verb] for p in photographs for *_, verb in p.triplets]
    return Judged(scores, verdicts, sum(name != NO_INTERACTION for name in verbs))


def judge(prediction: HOIPrediction, truth: Photograph) -> tuple[np.ndarray, np.ndarray]:
    """Scores and verdicts of the interactions of a photograph, best first.

    Right: an annotated triplet has this verb, both boxes have an IoU of 0.5 with its own, and
    nothing with a better score has found it. The object's class is not asked for, as in V-COCO.
    """
    found = prediction.select(score_threshold=SCORES[0]).hoi_instances
    humans = box_iou(found.human_boxes.tensor, truth.boxes) >= 0.5
    objects = box_iou(found.object_boxes.tensor, truth.boxes) >= 0.5
    people = torch.tensor(sorted({human for human, _, _ in truth.triplets}))
    known = humans[:, people].any(dim=1).tolist()
    verdicts, taken = [], set()
    for row, verb in enumerate(found.verb_classes.tolist()):
        fits = [
            t for t in truth.triplets if t[2] == verb and humans[row, t[0]] and objects[row, t[1]]
        ]
        free = [t for t in fits if t not in taken]
        taken.update(free[:1])
        verdicts.append(RIGHT if free else WRONG if known[row] else UNKNOWN)
    return found.scores.numpy(), np.array(verdicts, dtype=int)


def count_table(judged: Judged) -> str:
    """Counts of what has at least each of `SCORES`."""
    rows = []
    for lowest in SCORES:
        verdicts = judged.verdicts[judged.scores >= lowest]
        right, wrong, unknown = (int((verdicts == v).sum()) for v in (RIGHT, WRONG, UNKNOWN))
        rows.append((lowest, right, wrong, unknown, judged.annotated - right))
    headers = ("score from", "right", "wrong", "human not annotated", "missed")
    return tabulate(rows, headers)


def reliability_table(judged: Judged) -> str:
    """Mean score and share right of what was judged, by score."""
    known = judged.verdicts != UNKNOWN
    hits = judged.verdicts[known] == RIGHT
    bins = calibration_bins(judged.scores[known], hits, num_bins=NUM_BINS)
    columns = ("low", "high", "count", "score", "precision")
    headers = ("from", "to", "triplets", "mean score", "share right")
    return tabulate(list(zip(*(bins[c] for c in columns))), headers, floatfmt=".2f")
