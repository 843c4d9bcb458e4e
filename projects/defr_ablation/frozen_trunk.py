"""Trains the attention pool and the classifier of a DEFR on what frozen convolutions see.

The convolutions look at each image once; a run then takes a minute on a CPU. What is trained, the
loss, the stream of samples and the metric are the library's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from timm.layers import AttentionPool2d
from torch import Tensor, nn

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.loading.build import build_mapper
from hoi_d2.data.loading.stream import BatchStream
from hoi_d2.data.samplers import label_table, oversampling_repeats
from hoi_d2.evaluation.image_level_evaluators import HICOEvaluator
from hoi_d2.solver import build_lr_scheduler, build_optimizer


@dataclass(frozen=True)
class Seen:
    """What the convolutions see of N images.

    Attributes:
        image_ids: of the images.
        cells: (N, rows * columns, C) bfloat16, the last map.
        labels: (N, 600) int8.
    """

    image_ids: list[int]
    cells: Tensor
    labels: Tensor


@torch.no_grad()
def look(cfg: CfgNode, dataset_name: str, *, batch: int = 32) -> Seen:
    """Every image of a data set, as the test mapper shows it, through the convolutions."""
    encoder = build_model(cfg).eval().image_encoder
    mapper = build_mapper(cfg, is_train=False)
    records = DatasetCatalog.get(dataset_name)
    cells = []
    for start in range(0, len(records), batch):
        images = torch.stack([mapper(r)["image"] for r in records[start : start + batch]])
        with torch.autocast("cpu", torch.bfloat16):
            maps = encoder.network.forward_features(encoder.normalize(images))
        cells.append(maps.flatten(2).transpose(1, 2).bfloat16().contiguous())
    labels = torch.from_numpy(label_table(records, vocabulary_of(cfg)))
    return Seen([r["image_id"] for r in records], torch.cat(cells), labels)


def train(cfg: CfgNode, seen: Seen) -> nn.Module:
    """A DEFR whose pool and classifier were trained for SOLVER.MAX_ITER steps."""
    model = build_model(cfg).train()
    for name, parameter in model.image_encoder.network.named_parameters():
        parameter.requires_grad_(name.startswith("head."))
    optimizer = build_optimizer(cfg, model)
    scheduler = build_lr_scheduler(cfg, optimizer)
    repeats = oversampling_repeats(seen.labels.numpy())
    stream = BatchStream(
        size=len(seen.labels),
        batch_size=cfg.SOLVER.IMS_PER_BATCH,
        seed=cfg.SEED,
        repeat_factors=torch.as_tensor(repeats, dtype=torch.float32),
    )
    for samples in islice(stream, cfg.SOLVER.MAX_ITER):
        rows = [sample.index for sample in samples]
        loss = model.loss(logits_of(model, seen.cells[rows]), seen.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    return model.eval()


def evaluate(model: nn.Module, seen: Seen, dataset_name: str) -> dict[str, float]:
    """HICO's metrics in percent."""
    evaluator = HICOEvaluator(dataset_name, distributed=False)
    with torch.no_grad():
        for ids, cells in zip(np.array_split(seen.image_ids, 20), seen.cells.tensor_split(20)):
            logits = logits_of(model, cells)
            outputs = [{"hoi_scores": row} for row in logits]
            evaluator.process([{"image_id": int(i)} for i in ids], outputs)
    return evaluator.evaluate()["hico"]


def evaluated_classes(dataset_name: str) -> list[int]:
    """HOI ids that the data set shows."""
    return MetadataCatalog.get(dataset_name).evaluated_hois


def logits_of(model: nn.Module, cells: Tensor) -> Tensor:
    """(B, 600) from the last maps (B, rows * columns, C)."""
    return model.classifier(read_once(model.image_encoder.network.head, cells))


def read_once(pool: AttentionPool2d, cells: Tensor) -> Tensor:
    """The attention pool (B, D), computed from its one query backwards.

    q . (K x) = (K^T q) . x, and sum_i a_i V x_i = V (sum_i a_i x_i): keys, values and positions of
    the cells are never made, and no gradient reaches the cells, which are frozen. The bias of the
    keys moves all scores of a query alike, so softmax does not see it. What touches all cells is
    computed in their precision, the rest in float32.
    """
    first, positions = pool.pos_embed[0], pool.pos_embed[1:]
    heads, size = pool.num_heads, pool.head_dim
    mean = cells.mean(dim=1, dtype=torch.float32) + first
    query = pool.q(mean).unflatten(1, (heads, size)) * size**-0.5
    back = torch.einsum("bhd,hdc->bhc", query, pool.k.weight.unflatten(0, (heads, size)))
    scores = torch.bmm(back.to(cells.dtype), cells.transpose(1, 2)).float() + back @ positions.T
    weights = torch.cat([(back * mean[:, None]).sum(dim=2, keepdim=True), scores], dim=2).softmax(2)
    own, others = weights[..., :1], weights[..., 1:]
    read = (
        own * mean[:, None] + torch.bmm(others.to(cells.dtype), cells).float() + others @ positions
    )
    values = torch.einsum("bhc,hdc->bhd", read, pool.v.weight.unflatten(0, (heads, size)))
    return pool.proj(values.flatten(1) + pool.v.bias)
