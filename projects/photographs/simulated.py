"""The layout model on simulated detections: boxes moved, missed, found twice, and bystanders.

The annotation files have no images, so no detector can be run on them. What the model was trained
for is simulated instead, on every image (`hoi_d2/modeling/roi_heads/layout_noise.py`).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from tabulate import tabulate

from hoi_d2.benchmark.stopwatch import replaced
from hoi_d2.data.layout_mapper import LayoutMapper
from hoi_d2.evaluation.evaluators import HICODetEvaluator, VCOCOEvaluator
from hoi_d2.inference.predictor import get_model
from hoi_d2.modeling.entity_detector.interface import Entities
from hoi_d2.modeling.meta_arch.layout import packed

BATCH = 64
"""As in training: bystanders are entities of the other images of a batch."""

EVALUATORS = {"hico_det": HICODetEvaluator, "vcoco": VCOCOEvaluator}
Batch = list[dict[str, Any]]


def noise_table(name: str, weights: Sequence[str], options: Sequence[str] = ()) -> str:
    """The metrics of the test set for each file of weights, their mean and standard deviation.

    Args:
        name: of the model, such as photo/layout_hico_det.
        weights: files of one training each.
        options: KEY, VALUE, ... overrides of its config.
    """
    rows = [noisy_metrics(name, [*options, "MODEL.WEIGHTS", file]) for file in weights]
    keys = [key for key in rows[0] if key.startswith(("mAP_", "AP_role"))]
    table = [(file, *(row[key] for key in keys)) for file, row in zip(weights, rows)]
    if len(rows) > 1:
        columns = [[row[key] for row in rows] for key in keys]
        table.append(("mean", *map(statistics.mean, columns)))
        table.append(("standard deviation", *map(statistics.stdev, columns)))
    return tabulate(table, ("weights", *keys), floatfmt=".2f")


def noisy_metrics(name: str, options: Sequence[str]) -> dict[str, float]:
    """The metrics of one file of weights; every file gets the same detections."""
    predictor = get_model(name, options=options)
    model: Any = predictor.model
    model.noise.share, model.max_train_pairs = 1.0, 0  # every image, and all of its humans
    dataset = predictor.cfg.DATASETS.TEST[0]
    evaluator = EVALUATORS[MetadataCatalog.get(dataset).evaluator_type](dataset)
    mapper = LayoutMapper(is_train=False)
    torch.manual_seed(0)
    with replaced(model.entity_detector, "forward", partial(simulated_detections, model)):
        for batch in batches(DatasetCatalog.get(dataset), mapper):
            with torch.inference_mode():
                evaluator.process(batch, model(batch))
    (metrics,) = evaluator.evaluate().values()
    return metrics


def simulated_detections(model: Any, batched_inputs: Batch) -> Entities:
    """What stands in for `AnnotatedEntityDetector.forward`.

    Args:
        model: a `LayoutRmLR`.
        batched_inputs: `LayoutMapper`'s.
    """
    annotated = [x["instances"] for x in batched_inputs]
    found = model.as_found(packed(annotated), len(annotated))
    result = []
    for index, instances in enumerate(annotated):
        own = found[found.images == index]
        fields = {"pred_boxes": Boxes(own.boxes), "scores": own.scores, "pred_classes": own.classes}
        result.append(Instances(instances.image_size, **fields))
    return Entities(result, None, None)


def batches(
    records: Sequence[dict[str, Any]], mapper: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[Batch]:
    """All records in an order of its own, so that bystanders come from any image."""
    order = torch.randperm(len(records), generator=torch.Generator().manual_seed(0)).tolist()
    for start in range(0, len(order), BATCH):
        yield [mapper(records[i]) for i in order[start : start + BATCH]]
