"""Evaluators of image-level recognition (HICO, MPII, Stanford 40): scores, gathered over ranks."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from hoi_d2.data.vocabulary import hico_few_shot_hois
from hoi_d2.evaluation.evaluators import warn_unprocessed
from hoi_d2.evaluation.image_level_metrics import (
    ImageScores,
    few_shot_groups,
    hico_metrics,
    match_labels,
    mpii_metrics,
    stanford40_metrics,
    write_image_scores,
)
from hoi_d2.evaluation.result_files import write_metrics

logger = logging.getLogger(__name__)

_HICO_CLASSES = 600


class ImageLevelEvaluator(DatasetEvaluator):
    """Collects `hoi_scores` of every image and scores them against `image_labels`.

    Args:
        dataset_name: a registered data set whose dicts have `image_labels` (C,).
        distributed: gather over ranks.
        output_dir: where `<task>_scores.npz` and `<task>_metrics.json` go; None = not written.
    """

    task = "image_level"

    def __init__(
        self,
        dataset_name: str,
        *,
        distributed: bool = True,
        output_dir: str | Path | None = None,
    ) -> None:
        self._dataset_name = dataset_name
        self._metadata = MetadataCatalog.get(dataset_name)
        self._distributed = distributed
        self._output_dir = None if output_dir is None else Path(output_dir)
        self.reset()

    def reset(self) -> None:
        """Removes all scores."""
        self._image_ids: list[int] = []
        self._rows: list[np.ndarray] = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Keeps `hoi_scores` (C,) of each output under the `image_id` of its input."""
        for image, output in zip(inputs, outputs):
            self._image_ids.append(int(image["image_id"]))
            self._rows.append(output["hoi_scores"].detach().float().cpu().numpy())

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Scores what was processed.

        Returns:
            `{task: {metric: percent}}`; {} except on rank 0.

        Raises:
            ValueError: an image is not of the data set, or a score is not finite.
        """
        scores = self._gather()
        if scores is None:
            return OrderedDict()
        known, labels, _ = match_labels(scores, DatasetCatalog.get(self._dataset_name))
        warn_unprocessed(known, scores.image_ids)
        metrics = self._score(scores.scores, labels)
        if self._output_dir is not None:
            write_image_scores(self._output_dir / f"{self.task}_scores.npz", scores)
            flat = {f"{self.task}/{name}": value for name, value in metrics.items()}
            write_metrics(self._output_dir / f"{self.task}_metrics.json", flat)
        return OrderedDict({self.task: metrics})

    @abstractmethod
    def _score(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Returns the metrics of (N, C) scores and labels, in percent."""

    def _gather(self) -> ImageScores | None:
        rows = np.stack(self._rows) if self._rows else np.zeros((0, 0), dtype=np.float32)
        parts = [(np.asarray(self._image_ids, dtype=np.int64), rows)]
        if self._distributed and comm.get_world_size() > 1:
            comm.synchronize()
            parts = comm.gather(parts[0], dst=0)
            if not comm.is_main_process():
                return None
        parts = [p for p in parts if len(p[0])]
        if not parts:
            raise ValueError(f"{self._dataset_name}: no image was processed")
        image_ids, first = np.unique(np.concatenate([p[0] for p in parts]), return_index=True)
        return ImageScores(image_ids, np.concatenate([p[1] for p in parts])[first])


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


class MPIIEvaluator(ImageLevelEvaluator):
    """`mAP`: 11-point AP of each activity that occurs in the split, and their mean.

    Args:
        dataset_name: its dicts have `image_labels`; the model's outputs `hoi_scores` (C,).
        **options: those of `ImageLevelEvaluator`: distributed, output_dir.
    """

    task = "mpii"

    def _score(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return mpii_metrics(scores, labels)


class Stanford40Evaluator(ImageLevelEvaluator):
    """`mAP`, as MPII's, and `accuracy`: the share of images whose best class is theirs.

    Args:
        dataset_name: its dicts have `image_labels`; the model's outputs `hoi_scores` (C,).
        **options: those of `ImageLevelEvaluator`: distributed, output_dir.
    """

    task = "stanford40"

    def _score(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        return stanford40_metrics(scores, labels)
