"""Which evaluator a dataset gets, and where its numbers go."""

from __future__ import annotations

import importlib
import json
import logging
import math
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_dict
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator, verify_results
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from tabulate import tabulate

from hoi_d2.checkpoint.random_weights import named
from hoi_d2.config.load import ConfigError
from hoi_d2.engine.writers import METRICS_NAME
from hoi_d2.protocols import has_capability, meta_architecture
from hoi_d2.utils.files import write_atomically

logger = logging.getLogger(__name__)

# Modules are imported when asked for, so that a detector is evaluated without the HOI scorers.
EVALUATORS = {
    "hico_det": "hoi_d2.evaluation.evaluators.HICODetEvaluator",
    "vcoco": "hoi_d2.evaluation.evaluators.VCOCOEvaluator",
    "hico": "hoi_d2.evaluation.image_level_evaluators.HICOEvaluator",
    "mpii": "hoi_d2.evaluation.image_level_evaluators.MPIIEvaluator",
    "stanford40": "hoi_d2.evaluation.image_level_evaluators.Stanford40Evaluator",
}


def build_evaluator(cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
    """Box AP for a plain detector, else the metric of the dataset's `evaluator_type`.

    Raises:
        ValueError: the dataset does not say how it is evaluated.
    """
    output_dir = str(Path(cfg.OUTPUT_DIR) / "inference" / dataset_name)
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    kind = getattr(MetadataCatalog.get(dataset_name), "evaluator_type", None)
    if kind == "coco" or _is_detector(meta_architecture(cfg)):
        return build_box_evaluator(dataset_name, output_dir)
    if kind not in EVALUATORS:
        raise ValueError(
            f"dataset {dataset_name}: metadata evaluator_type is {kind}, none of "
            f"{', '.join(sorted(EVALUATORS))} or coco"
        )
    module, name = EVALUATORS[kind].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)(dataset_name, output_dir=output_dir)


def _is_detector(architecture: type) -> bool:
    """Also for detectron2's own, which know nothing of capabilities."""
    own = architecture.__module__.startswith("detectron2.")
    return own or has_capability(architecture, "detects_entities")


def build_box_evaluator(dataset_name: str, output_dir: str) -> COCOEvaluator:
    """COCO's box AP of the entities of any registered dataset.

    The ground truth goes through a file of its own: the `json_file` of a HOI dataset is not in
    COCO's form, and detectron2 would use it as if it were.
    """
    name = f"{dataset_name}_boxes"
    if name not in DatasetCatalog.list():
        DatasetCatalog.register(name, lambda: _with_file_names(DatasetCatalog.get(dataset_name)))
    MetadataCatalog.pop(name, None)
    classes = MetadataCatalog.get(dataset_name).thing_classes
    path = Path(output_dir) / f"{name}.json"
    metadata = MetadataCatalog.get(name).set(thing_classes=classes)
    if comm.is_main_process():
        content = json.dumps(convert_to_coco_dict(name)).encode()
        write_atomically(path, lambda file: file.write(content))
    comm.synchronize()
    metadata.json_file = str(path)
    # The fast implementation needs detectron2's compiled part.
    return COCOEvaluator(name, tasks=("bbox",), output_dir=output_dir, use_fast_impl=False)


def report_metrics(output_dir: str, results: dict[str, Any], random_parts: list[str]) -> None:
    """Logs the metrics and writes metrics.json, one flat object; both say if weights are random.

    Args:
        output_dir: of the file.
        results: nested dict of metrics.
        random_parts: prefixes of the model's parts with random weights.
    """
    metrics = flatten_results_dict(results)
    rows = [(name, value) for name, value in metrics.items() if "-" not in name.split("/")[-1]]
    logger.info("metrics:\n%s", tabulate(rows, headers=("metric", "value"), floatfmt=".3f"))
    content: dict[str, Any] = {
        name: value if math.isfinite(value) else None for name, value in metrics.items()
    }
    if random_parts:
        content["random_weights"] = named(random_parts)
        logger.warning("RANDOM WEIGHTS (%s): these numbers mean nothing", content["random_weights"])
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    write_atomically(Path(output_dir) / METRICS_NAME, lambda file: file.write(text.encode()))


def verify_metrics(cfg: CfgNode, results: dict[str, Any]) -> None:
    """detectron2's check of TEST.EXPECTED_RESULTS, [[task, metric, value, tolerance], ...].

    Raises:
        ConfigError: one of them names what was not measured.
        SystemExit: a metric is further from its value than its tolerance; status 1.
    """
    measured = flatten_results_dict(results)
    for task, metric, *_ in cfg.TEST.EXPECTED_RESULTS:
        if f"{task}/{metric}" not in measured:
            raise ConfigError(
                f"TEST.EXPECTED_RESULTS: {task}/{metric} is not among {', '.join(measured)}"
            )
    verify_results(cfg, results)


def _with_file_names(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rendered images have no file; COCO's form wants a name."""
    return [{"file_name": "", **record} for record in records]
