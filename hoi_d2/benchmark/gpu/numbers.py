"""Every meta-architecture on a device, in each precision, against float32 on the CPU.

Results: which of the CPU's findings the device finds too, and how far their scores are apart.
Training: the loss, and the direction of the gradient. Weights are those that come with the package,
else random ones of one seed, whose results are not compared: they are near ties everywhere.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torchvision.ops import box_iou

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.data.images import read_image
from hoi_d2.data.loading.build import build_mapper, load_records
from hoi_d2.data.transforms import image_tensor
from hoi_d2.demo.photographs import example_photographs
from hoi_d2.inference.predictor import read_config
from hoi_d2.registration import register

PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "tf32": None,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
Row = dict[str, Any]
MIN_SCORE, MIN_IOU = 0.05, 0.8
_LOSS_SCALES = (1024.0, 32.0, 1.0)


@dataclass(frozen=True)
class Case:
    """A config, and which of its outputs are compared: "results", "training"."""

    config: str
    compared: tuple[str, ...]
    options: tuple = ()


_RANDOM_ROWS = ("MODEL.CLASSIFIER.INIT", "random")  # the weight file fills them
_DRAWN = ("DATASETS.TRAIN", ("toy_hoi_train",), "MODEL.WEIGHTS", "")
CASES = (
    Case("toy/rmlr.yaml", ("results", "training")),
    Case("toy/upt.yaml", ("training",)),
    Case("toy/defr.yaml", ("results", "training"), _RANDOM_ROWS),
    Case("toy/defr_det.yaml", ("results",), _RANDOM_ROWS),
    Case("toy/detr.yaml", ("results", "training")),
    Case(
        "photo/layout_hico_det.yaml", ("training",), (*_DRAWN, "MODEL.RMLR.LAYOUT.NOISE.SHARE", 0.0)
    ),
    Case("photo/photo.yaml", ("results",)),
    # Noise of queries and sampled proposals are drawn on the device: no two devices agree on them.
    Case("toy/rt_detr.yaml", ()),
    Case("toy/faster_rcnn.yaml", ()),
)


@dataclass(frozen=True)
class Tolerance:
    """How far a precision may be from float32 on the CPU; see `compare`."""

    found: float
    score: float
    loss: float
    cosine: float


TOLERANCES = {
    "float32": Tolerance(found=1.0, score=1e-4, loss=1e-3, cosine=0.9999),
    "tf32": Tolerance(found=0.95, score=0.01, loss=0.01, cosine=0.999),
    "float16": Tolerance(found=0.95, score=0.02, loss=0.01, cosine=0.999),
    "bfloat16": Tolerance(found=0.8, score=0.1, loss=0.05, cosine=0.99),
}


@dataclass
class Outcome:
    """What a model gives, on the CPU: results per image, the loss and all gradients of a batch."""

    results: list[dict[str, Tensor]]
    loss: float | None = None
    gradient: Tensor | None = None


def numbers(device: str, *, tiny: bool) -> Iterator[Row]:
    """One row per case and precision.

    Args:
        device: "cuda" or "cpu".
        tiny: the first case alone, on two images.

    Yields:
        `config`, `precision`, what `compare` gives, and `ok`; or `error`.
    """
    register()
    precisions = ["float32", "bfloat16"] if device == "cpu" else list(PRECISIONS)
    for case in CASES[:1] if tiny else CASES:
        reference = outcome(case, "cpu", "float32", images=2 if tiny else 4)
        for precision in precisions:
            row: Row = {"config": case.config, "precision": precision}
            try:
                found = outcome(case, device, precision, images=2 if tiny else 4)
                row |= compare(reference, found, case.compared)
                row["ok"] = is_within(row, TOLERANCES[precision])
            except Exception as error:  # the other rows are worth knowing
                row |= {"error": f"{type(error).__name__}: {error}", "ok": False}
            yield row


def outcome(case: Case, device: str, precision: str, *, images: int) -> Outcome:
    """Tests a case's model, and takes one training step of a new one without an update.

    The loss of trained weights is near 0, and its gradient is noise.
    """
    options = [*case.options, "MODEL.DEVICE", device, *_ANY_WEIGHTS]
    cfg = read_config(case.config, options, pretrained="results" in case.compared)
    with precision_of(device, precision):
        result = Outcome(tested(_model(cfg, cfg.MODEL.WEIGHTS), _test_inputs(case, cfg, images)))
        if "training" in case.compared or not case.compared:
            inputs = mapped(cfg, images, is_train=True)
            result.loss, result.gradient = trained(_model(cfg, ""), inputs)
    return result


def _model(cfg: CfgNode, weights: str) -> nn.Module:
    seed_all_rng(0)
    model = build_model(cfg)
    HOICheckpointer(model).resume_or_load(weights, resume=False)
    return model


def _test_inputs(case: Case, cfg: CfgNode, images: int) -> list[dict[str, Any]]:
    if not case.config.startswith("photo/photo"):
        return mapped(cfg, images, is_train=False)
    image = image_tensor(read_image(example_photographs()[0]))
    return [{"image": image, "height": image.shape[1], "width": image.shape[2]}]


_ANY_WEIGHTS = ("MODEL.ALLOW_RANDOM_WEIGHTS", True)


def mapped(cfg: CfgNode, number: int, *, is_train: bool) -> list[dict[str, Any]]:
    """The first images of the config's training set as the model takes them, always the same."""
    seed_all_rng(0)
    mapper = build_mapper(cfg, is_train=is_train)
    return [mapper(copy.deepcopy(record)) for record in load_records(cfg.DATASETS.TRAIN)[:number]]


@contextmanager
def precision_of(device: str, precision: str) -> Iterator[None]:
    """Inside, torch computes in a precision of `PRECISIONS`."""
    dtype, tf32 = PRECISIONS[precision], precision == "tf32"
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = tf32
    try:
        with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
            yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


@torch.no_grad()
def tested(model: nn.Module, inputs: list[dict[str, Any]]) -> list[dict[str, Tensor]]:
    """The results of each image as tensors: `boxes` (N, 4 or 8), `classes` and `scores`."""
    return [_fields(output) for output in model.eval()(inputs)]


def _fields(output: dict[str, Any]) -> dict[str, Tensor]:
    if "hoi_scores" in output:  # of an image; each class is found
        scores = output["hoi_scores"].float().cpu()
        return {
            "boxes": torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(len(scores), 1),
            "classes": torch.arange(len(scores)),
            "scores": scores,
        }
    if "hoi_instances" in output:
        found = output["hoi_instances"].to("cpu")
        boxes = [found.human_boxes.tensor, found.object_boxes.tensor]
        classes = found.object_classes * 1000 + found.verb_classes
        return {"boxes": torch.cat(boxes, dim=1), "classes": classes, "scores": found.scores}
    found = output["instances"].to("cpu")
    return {
        "boxes": found.pred_boxes.tensor,
        "classes": found.pred_classes,
        "scores": found.scores,
    }


def trained(model: nn.Module, inputs: list[dict[str, Any]]) -> tuple[float, Tensor]:
    """The total loss of a batch and its gradient, without dropout.

    The loss is scaled as by a GradScaler: small gradients of float16 would be 0, large ones are
    infinite and tried again at a lower scale.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for scale in _LOSS_SCALES:
        loss, gradient = _gradient(model, inputs, scale)
        if gradient.isfinite().all():
            break
    return loss, gradient


def _gradient(model: nn.Module, inputs: list[dict[str, Any]], scale: float) -> tuple[float, Tensor]:
    seed_all_rng(0)
    model.zero_grad()
    with EventStorage(0):
        loss = torch.stack(list(model(inputs).values())).sum()
    (loss * scale).backward()
    gradients = [p.grad.flatten().float().cpu() for p in model.parameters() if p.grad is not None]
    return loss.item(), torch.cat(gradients) / scale


def compare(reference: Outcome, other: Outcome, compared: Sequence[str]) -> Row:
    """How far an outcome is from the reference.

    Returns:
        `found`: share of the reference's findings with a score of at least MIN_SCORE that the other
        has too (same class, all boxes with an IoU of MIN_IOU); `number` of them; `score` and
        `largest`: mean and largest difference of their scores; `loss`: relative difference;
        `cosine` of the gradients; `finite`. Figures that are not compared are None.
    """
    row: Row = dict.fromkeys(("found", "number", "score", "largest", "loss", "cosine"))
    row["finite"] = _is_finite(other)
    if "results" in compared:
        pairs = [d for a, b in zip(reference.results, other.results) for d in differences(a, b)]
        row["number"], hits = len(pairs), [d for d in pairs if d is not None]
        row["found"] = len(hits) / max(len(pairs), 1)
        row["score"] = statistics.fmean(hits) if hits else math.inf
        row["largest"] = max(hits, default=math.inf)
    if "training" in compared:
        assert reference.loss and reference.gradient is not None and other.gradient is not None
        row["loss"] = abs((other.loss or 0.0) / reference.loss - 1)
        cosine = torch.cosine_similarity(reference.gradient, other.gradient, dim=0)
        row["cosine"] = float(cosine)
    return row


def _is_finite(outcome: Outcome) -> bool:
    scores = all(bool(r["scores"].isfinite().all()) for r in outcome.results)
    gradient = outcome.gradient is None or bool(outcome.gradient.isfinite().all())
    return scores and gradient and math.isfinite(outcome.loss or 0.0)


def differences(reference: dict[str, Tensor], other: dict[str, Tensor]) -> list[float | None]:
    """For each finding of the reference, the difference of the score; None = not found."""
    result: list[float | None] = []
    for boxes, name, score in zip(*(reference[k] for k in ("boxes", "classes", "scores"))):
        if score < MIN_SCORE:
            continue
        same = other["classes"] == name
        for first in range(0, len(boxes), 4):
            part = slice(first, first + 4)
            same = same & (box_iou(boxes[None, part], other["boxes"][:, part])[0] >= MIN_IOU)
        scores = other["scores"][same]
        result.append(float((scores - score).abs().min()) if len(scores) else None)
    return result


def is_within(row: Row, tolerance: Tolerance) -> bool:
    """Whether a row of `compare` is near enough; what is None does not count."""
    lows = [(row["found"], tolerance.found), (row["cosine"], tolerance.cosine)]
    highs = [(row["score"], tolerance.score), (row["loss"], tolerance.loss)]
    near = [value >= least for value, least in lows if value is not None]
    near += [value <= most for value, most in highs if value is not None]
    return row["finite"] and row["number"] != 0 and all(near)
