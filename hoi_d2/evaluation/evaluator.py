"""What the evaluators of HOI detection share: collecting, checking and writing results."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from hoi_d2.evaluation.collector import ResultCollector
from hoi_d2.evaluation.reports import write_csv, write_metrics
from hoi_d2.evaluation.results import write_results
from hoi_d2.evaluation.results_check import check_results
from hoi_d2.evaluation.scorers import HICODetScorer, VCOCOScorer

logger = logging.getLogger(__name__)


class HOIDetectionEvaluator(DatasetEvaluator):
    """Collects `hoi_instances` of every image and scores them when all are there.

    Args:
        dataset_name: a registered data set; its metadata has a `vocabulary`.
        distributed: gather results over ranks.
        output_dir: where results, metrics and per-class tables go; None = nowhere.
        results_format: `json` or `npz`, which is a tenth of the size.
    """

    task = "hoi"
    """First part of the metrics' names."""

    def __init__(
        self,
        dataset_name: str,
        *,
        distributed: bool = True,
        output_dir: str | Path | None = None,
        results_format: str = "json",
    ) -> None:
        if results_format not in ("json", "npz"):
            raise ValueError(f"results_format is {results_format!r}, expected 'json' or 'npz'")
        self._dataset_name = dataset_name
        self._metadata = MetadataCatalog.get(dataset_name)
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._results_format = results_format
        self._collector = ResultCollector(distributed=distributed)

    def reset(self) -> None:
        """Forgets all results."""
        self._collector.reset()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Keeps `hoi_instances` of each output under the `image_id` of its input."""
        for image, output in zip(inputs, outputs):
            self._collector.add(image["image_id"], output["hoi_instances"])

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Scores what was processed.

        Returns:
            `{task: {metric: percent}}`; {} except on rank 0.

        Raises:
            ResultFormatError: the model gave scores or ids that cannot be scored.
        """
        gathered = self._collector.gather()
        if gathered is None:
            return OrderedDict()
        results, processed = gathered
        if self._output_dir is not None:
            write_results(self._output_dir / f"hoi_results.{self._results_format}", results)
        scorer = self._scorer(DatasetCatalog.get(self._dataset_name))
        warn_unprocessed(scorer.image_ids, processed)
        results, warnings = check_results(
            results, scorer.vocabulary, scorer.image_ids, source=self._dataset_name
        )
        for note in scorer.notes:
            logger.info(note)
        for warning in [*scorer.warnings, *warnings]:
            logger.warning(warning)
        scored = scorer.score(results)
        if self._output_dir is not None:
            flat = {f"{self.task}/{name}": value for name, value in scored.metrics.items()}
            write_metrics(self._output_dir / f"{self.task}_metrics.json", flat)
            table = self._output_dir / f"{self.task}_per_class.csv"
            write_csv(table, scored.header, scored.table)
        return OrderedDict({self.task: scored.metrics})

    @abstractmethod
    def _scorer(self, dataset_dicts: list[dict[str, Any]]) -> HICODetScorer | VCOCOScorer:
        """Takes the ground truth."""


def warn_unprocessed(image_ids: np.ndarray, processed: np.ndarray) -> None:
    """Says if the model has not seen every image of the data set."""
    missing = np.setdiff1d(image_ids, processed)
    if len(missing):
        logger.warning(
            "%d of %d images were not processed (the first is %d) and count as missed",
            len(missing),
            len(image_ids),
            missing[0],
        )
