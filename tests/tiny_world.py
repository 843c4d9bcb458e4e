"""A world that trains in milliseconds: images made from their number, a model of 300 weights.

Import hoi_d2 before it.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from detectron2.utils import comm
from torch import Tensor, nn

from hoi_d2.config.load import load_config
from hoi_d2.engine.evaluation import EVALUATORS
from hoi_d2.modeling.losses.normalizer import loss_normalizer

SIZE = 4
CLASSES = 3


def tiny_records(number: int = 21) -> list[dict[str, Any]]:
    return [
        {"image_id": i, "file_name": f"{i}.png", "height": 4 + i % 2, "width": 4, "annotations": []}
        for i in range(number)
    ]


class TinyMapper:
    """The image is noise of its number, shifted by an augmentation; 0 to 4 targets."""

    reads_images = False

    def __init__(self, cfg: CfgNode, *, is_train: bool) -> None:
        self.is_train = is_train

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        if record["file_name"].startswith("missing"):
            raise FileNotFoundError(record["file_name"])
        if record["file_name"].startswith("kill"):
            os._exit(9)
        rng = np.random.default_rng(record["image_id"])
        image = rng.normal(size=(3, SIZE, SIZE)).astype("float32")
        classes = torch.as_tensor(rng.integers(CLASSES, size=record["image_id"] % 5))
        if self.is_train:
            image += np.random.uniform(-0.1, 0.1)
        instances = Instances((SIZE, SIZE), gt_classes=classes)
        return {**record, "image": torch.as_tensor(image), "instances": instances}


@META_ARCH_REGISTRY.register()
class TinyModel(nn.Module):
    """A frozen layer, dropout, a head; one loss per target and one per image."""

    frozen_prefixes = ("detector.",)

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.detector = nn.Linear(3 * SIZE * SIZE, 8).requires_grad_(False)
        self.head = nn.Sequential(
            nn.Linear(8, 16), nn.LayerNorm(16), nn.Dropout(cfg.TINY.DROPOUT), nn.Linear(16, CLASSES)
        )
        self.backbone = nn.Linear(8, 8)
        self.unused = nn.Linear(2, 2)
        self.random_detector = not cfg.TINY.DETECTOR_WEIGHTS
        if cfg.TINY.DETECTOR_WEIGHTS:
            self.detector.load_state_dict(torch.load(cfg.TINY.DETECTOR_WEIGHTS))
        self.to(cfg.MODEL.DEVICE)

    def random_weights(self) -> list[str]:
        detector = ["detector."] if self.random_detector else []
        return [*detector, "head.", "backbone.", "unused."]

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        images = torch.stack([item["image"].flatten() for item in batched_inputs])
        with torch.no_grad():
            features = self.detector(images.to(self.unused.weight.device))
        logits = self.head(features + self.backbone(features)).float()
        if not self.training:
            return [{"scores": row} for row in logits.softmax(-1)]
        return self._losses(logits, batched_inputs)

    def _losses(self, logits: Tensor, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        rows = [i for i, item in enumerate(batched_inputs) for _ in item["instances"].gt_classes]
        classes = torch.cat([item["instances"].gt_classes for item in batched_inputs])
        total = nn.functional.cross_entropy(
            logits[rows], classes.to(logits.device), reduction="sum"
        )
        return {
            "loss_class": total / loss_normalizer("targets", len(classes), logits.device),
            "loss_size": 0.01 * logits.square().mean(),
        }


class TinyEvaluator(DatasetEvaluator):
    """Mean score of the class that each image has most, over all processes."""

    def __init__(self, dataset_name: str, output_dir: str | None = None) -> None:
        self.scores: dict[int, float] = {}

    def reset(self) -> None:
        self.scores = {}

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        for item, output in zip(inputs, outputs):
            classes = item["instances"].gt_classes
            if len(classes):
                self.scores[item["image_id"]] = float(output["scores"][classes.mode().values])

    def evaluate(self) -> dict[str, Any] | None:
        parts = comm.gather(self.scores)
        if not comm.is_main_process():
            return None
        scores = {image: score for part in parts for image, score in part.items()}
        values = [scores[image] for image in sorted(scores)]
        return {"tiny": {"mAP": 100 * float(np.mean(values)), "images": len(values)}}


def register() -> None:
    """Registers the datasets and the evaluator; safe to call again."""
    EVALUATORS["tiny"] = f"{__name__}.TinyEvaluator"
    for name, number in (("tiny_train", 21), ("tiny_val", 7)):
        if name not in DatasetCatalog.list():
            DatasetCatalog.register(name, lambda number=number: tiny_records(number))
            MetadataCatalog.get(name).set(thing_classes=["a", "b", "c"], evaluator_type="tiny")


def tiny_cfg(output_dir: Any, *overrides: Any) -> CfgNode:
    """Config of a run of 12 iterations."""
    cfg = load_config("")
    add_tiny_config(cfg)
    cfg.OUTPUT_DIR = str(output_dir)
    cfg.merge_from_list(list(overrides))
    return cfg


def add_tiny_config(cfg: CfgNode) -> None:
    cfg.TINY = CfgNode({"DROPOUT": 0.0, "DETECTOR_WEIGHTS": ""})
    cfg.MODEL.DEVICE, cfg.MODEL.META_ARCHITECTURE = "cpu", "TinyModel"
    cfg.MODEL.ALLOW_RANDOM_WEIGHTS = True
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("tiny_train",), ("tiny_val",)
    cfg.DATALOADER.MAPPER, cfg.DATALOADER.NUM_WORKERS = f"{__name__}.TinyMapper", 0
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR = 4, 12, 0.01
    cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.LR_SCHEDULER_NAME = 2, "WarmupCosineLR"
    cfg.SOLVER.CHECKPOINT_PERIOD, cfg.SOLVER.LOG_PERIOD = 5, 4
    cfg.SOLVER.DRAW_CURVES = False  # takes longer than the training
    cfg.SEED = 3
