"""HICO-DET's metric as a detectron2 evaluator."""

from __future__ import annotations

from typing import Any

from hoi_d2.evaluation.evaluator import HOIDetectionEvaluator
from hoi_d2.evaluation.hico_det_metrics import PROTOCOLS
from hoi_d2.evaluation.scorers import HICODetScorer


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
