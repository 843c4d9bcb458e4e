"""The evaluators of HOI detection: they collect, check, write and score a model's results."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from hoi_d2.evaluation.hico_det_metrics import PROTOCOLS
from hoi_d2.evaluation.result_files import write_csv, write_metrics, write_results
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.evaluation.results_check import check_results
from hoi_d2.evaluation.scorers import HICODetScorer, VCOCOScorer

logger = logging.getLogger(__name__)


class HOIDetectionEvaluator(DatasetEvaluator):
    """Collects `hoi_instances` of every image and scores them at the end.

    Args:
        dataset_name: a registered data set; its metadata has a `vocabulary`.
        distributed: gather results over ranks.
        output_dir: where results, metrics and per-class tables go; None = not written.
        results_format: `json` or `npz`, a tenth of the size.
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
        """Removes all results."""
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
        """Makes the scorer from the ground truth."""


class HICODetEvaluator(HOIDetectionEvaluator):
    """mAP over HOI classes, full / rare / non-rare, default and known object.

    Reads of the data set's metadata: `vocabulary`, `rare_hois`, and where they are set
    `evaluated_hois` (classes that the means run over), `hoi_groups` (name -> classes, for example
    `{"unseen": [...], "seen": [...]}`) and `image_labels_file` (`anno.mat`, for known object).
    Writes `hoi_results.json`, `hico_det_metrics.json` and `hico_det_per_class.csv`.

    Args:
        dataset_name: a registered data set whose vocabulary has HOI classes.
        protocol: `official`, or a peer's (`qpic`, `cdn`); see `docs/evaluation.md`.
        **options: those of `HOIDetectionEvaluator`: distributed, output_dir, results_format.
    """

    task = "hico_det"

    def __init__(self, dataset_name: str, *, protocol: str = "official", **options: Any) -> None:
        super().__init__(dataset_name, **options)
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
        self._protocol = protocol

    def _scorer(self, dataset_dicts: list[dict[str, Any]]) -> HICODetScorer:
        return HICODetScorer(
            dataset_dicts,
            self._metadata.vocabulary,
            rare_hois=self._metadata.get("rare_hois", ()),
            evaluated_hois=self._metadata.get("evaluated_hois"),
            groups=self._metadata.get("hoi_groups"),
            image_labels_file=self._metadata.get("image_labels_file"),
            protocol=self._protocol,
        )


class VCOCOEvaluator(HOIDetectionEvaluator):
    """`AP_agent`, `AP_role_s1`, `AP_role_s2` (24 action-roles) and the role APs over 25.

    Writes `hoi_results.json`, `vcoco_metrics.json` and `vcoco_per_class.csv`.

    Args:
        dataset_name: a registered V-COCO split; its vocabulary has the 29 action-roles.
        **options: those of `HOIDetectionEvaluator`: distributed, output_dir, results_format.
    """

    task = "vcoco"

    def _scorer(self, dataset_dicts: list[dict[str, Any]]) -> VCOCOScorer:
        return VCOCOScorer(dataset_dicts, self._metadata.vocabulary)


class ResultCollector:
    """Collects the rows of each image as arrays.

    A sampler that pads the last batch shows some images to more than one rank; of such an image
    the rows of the first visit are kept.

    Args:
        distributed: gather over ranks; False = only this process has seen the data set.
    """

    def __init__(self, *, distributed: bool = True) -> None:
        self._distributed = distributed
        self.reset()

    def reset(self) -> None:
        """Removes all rows."""
        self._parts: list[HOIResults] = []
        self._visits: list[int] = []

    def add(self, image_id: int, hoi_instances: Any) -> None:
        """Keeps the result of one image."""
        self._visits.append(int(image_id))
        self._parts.append(HOIResults.from_hoi_instances(int(image_id), hoi_instances))

    def gather(self) -> tuple[HOIResults, np.ndarray] | None:
        """Returns all ranks' rows, image by image, and the ids of the images that were processed.

        Returns:
            None on every rank but the first.
        """
        counts = np.asarray([len(p) for p in self._parts], dtype=np.int64)
        own = (
            np.asarray(self._visits, dtype=np.int64),
            counts,
            HOIResults.concatenate(self._parts),
        )
        everyone = [own]
        if self._distributed and comm.get_world_size() > 1:
            comm.synchronize()
            everyone = comm.gather(own, dst=0)
            if not comm.is_main_process():
                return None
        visits, counts = (np.concatenate([part[i] for part in everyone]) for i in (0, 1))
        results = HOIResults.concatenate([part[2] for part in everyone])
        return first_visits(results, visits, counts)


def first_visits(
    results: HOIResults, visits: np.ndarray, counts: np.ndarray
) -> tuple[HOIResults, np.ndarray]:
    """Returns rows of the first visit to each image, ordered by image id.

    Args:
        results: the rows of all visits, one visit after the other.
        visits: (V,) image id of each visit.
        counts: (V,) rows of each visit.

    Returns:
        The rows; the (N,) image ids, ascending.
    """
    images, first = np.unique(visits, return_index=True)
    starts = np.cumsum(counts) - counts
    sizes = counts[first]
    begins = np.cumsum(sizes) - sizes
    rows = np.arange(sizes.sum()) + np.repeat(starts[first] - begins, sizes)
    return results[rows], images


def warn_unprocessed(image_ids: np.ndarray, processed: np.ndarray) -> None:
    """Warns if the model has not processed every image of the data set."""
    missing = np.setdiff1d(image_ids, processed)
    if len(missing):
        logger.warning(
            "%d of %d images were not processed (the first is %d) and count as missed",
            len(missing),
            len(image_ids),
            missing[0],
        )
