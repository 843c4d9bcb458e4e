"""HICO's image-level metric as a detectron2 evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hoi_d2.data.vocabulary import hico_few_shot_hois
from hoi_d2.evaluation.image_level_evaluator import ImageLevelEvaluator
from hoi_d2.evaluation.image_level_metrics import few_shot_groups, hico_metrics

_HICO_CLASSES = 600


class HICOEvaluator(ImageLevelEvaluator):
    """`mAP`, `mAP_known_object`, and `mAP_few1`, `_few5`, `_few10` of HICO recognition.

    Reads of the metadata: `training_positives` (C,), how many positive training images each class
    has, for the few-shot groups (HICO's own where it is not set and there are 600 classes), and
    `evaluated_hois`, the classes that the means run over.

    Args:
        dataset_name: its dicts have `image_labels`; the model's outputs `hoi_scores` (C,).
        **options: those of `ImageLevelEvaluator`: distributed, output_dir.
    """

    task = "hico"

    def _score(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        groups = self._few_shot_groups(labels.shape[1])
        return hico_metrics(scores, labels, groups, self._metadata.get("evaluated_hois"))

    def _few_shot_groups(self, num_classes: int) -> Mapping[str, Sequence[int] | np.ndarray]:
        counts = self._metadata.get("training_positives")
        if counts is not None:
            return few_shot_groups(np.asarray(counts))
        if num_classes != _HICO_CLASSES:
            return {}
        return {f"few{count}": hois for count, hois in hico_few_shot_hois().items()}
