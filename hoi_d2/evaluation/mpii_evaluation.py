"""MPII activity recognition as a detectron2 evaluator."""

from __future__ import annotations

import numpy as np

from hoi_d2.evaluation.image_level_evaluator import ImageLevelEvaluator
from hoi_d2.evaluation.image_level_metrics import mpii_metrics


class MPIIEvaluator(ImageLevelEvaluator):
    """`mAP`: 11-point AP of each activity that occurs in the split, and their mean.

    Args:
        dataset_name: its dicts have `image_labels`; the model's outputs `hoi_scores` (C,).
        **options: those of `ImageLevelEvaluator`: distributed, output_dir.
    """

    task = "mpii"

    def _score(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return mpii_metrics(scores, labels)
