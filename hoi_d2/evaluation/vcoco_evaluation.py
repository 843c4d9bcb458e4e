"""V-COCO's metrics as a detectron2 evaluator."""

from __future__ import annotations

from typing import Any

from hoi_d2.evaluation.evaluator import HOIDetectionEvaluator
from hoi_d2.evaluation.scorers import VCOCOScorer


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
