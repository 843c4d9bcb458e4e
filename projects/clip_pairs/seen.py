"""What the frozen parts of a CLIP-Pairs see of a data set, computed once; then trained and scored.

Detector and tower are frozen, so that a pair's masked CLS is the same in each step. What is
trained, the loss, the optimiser and the metric are the library's own. Images are not flipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from torch import Tensor
from tqdm import tqdm

from hoi_d2.data.loading.build import build_mapper
from hoi_d2.data.loading.stream import BatchStream
from hoi_d2.evaluation.evaluators import HICODetEvaluator
from hoi_d2.modeling.meta_arch.clip_pairs import CLIPPairs
from hoi_d2.modeling.roi_heads.pair_generator import CandidatePairs
from hoi_d2.solver import build_lr_scheduler, build_optimizer

_BATCH = 8


@dataclass(frozen=True)
class Seen:
    """The candidate pairs of a data set.

    Attributes:
        name: of the data set.
        inputs: id and size of the images of each batch.
        pairs: the candidates of each batch.
        features: (M, D) masked CLS of all of them.
        verbs: (M, K) their targets.
        first: (N + 1,) row of the first pair of each image.
    """

    name: str
    inputs: list[list[dict[str, Any]]]
    pairs: list[CandidatePairs]
    features: Tensor
    verbs: Tensor
    first: np.ndarray

    @property
    def scores(self) -> Tensor:
        """(M,) product of the two detection scores."""
        return torch.cat([p.pair_scores for p in self.pairs])

    @property
    def object_classes(self) -> Tensor:
        """(M,)."""
        return torch.cat([p.object_classes for p in self.pairs])


@torch.no_grad()
def look(cfg: CfgNode, model: CLIPPairs, name: str, *, for_training: bool = False) -> Seen:
    """Every image of a data set through detector and tower.

    Args:
        cfg: of the model.
        model: with its weights.
        name: a registered data set.
        for_training: annotated entities join the candidates, if the config says so.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.INPUT.RANDOM_FLIP = "none"
    mapper, records = build_mapper(cfg, is_train=True), DatasetCatalog.get(name)
    model.train(for_training)
    inputs, all_pairs, features, verbs = [], [], [], []
    for start in tqdm(range(0, len(records), _BATCH), desc=name, unit="batch"):
        batch = [mapper(record) for record in records[start : start + _BATCH]]
        entities = model.entity_detector(batch)
        pairs = model.pair_generator(model.targets.candidates(entities.instances, batch))
        features.append(model.masked_cls(pairs, batch))
        verbs.append(model.targets.verbs(model.targets.match(pairs, batch), pairs, batch).bool())
        inputs.append([{k: x[k] for k in ("image_id", "height", "width")} for x in batch])
        all_pairs.append(pairs)
    counts = [n for pairs in all_pairs for n in pairs.counts]
    first = np.cumsum([0, *counts])
    return Seen(name, inputs, all_pairs, torch.cat(features), torch.cat(verbs), first)


def train(cfg: CfgNode, model: CLIPPairs, seen: Seen) -> None:
    """Trains adapter and rows for SOLVER.MAX_ITER steps, in place."""
    model.train()
    optimizer = build_optimizer(cfg, model)
    scheduler = build_lr_scheduler(cfg, optimizer)
    stream = BatchStream(
        size=len(seen.first) - 1, batch_size=cfg.SOLVER.IMS_PER_BATCH, seed=cfg.SEED
    )
    classes, scores = seen.object_classes, seen.scores**model.prior_exponent
    trained = [p for p in model.parameters() if p.requires_grad]
    for samples in islice(stream, cfg.SOLVER.MAX_ITER):
        spans = [np.arange(seen.first[s.index], seen.first[s.index + 1]) for s in samples]
        rows = torch.from_numpy(np.concatenate(spans))
        pairs = SimpleNamespace(object_classes=classes[rows])
        logits = model.verb_logits(model.class_logits(seen.features[rows]), pairs)
        priors = model.targets.priors(scores[rows], classes[rows])
        loss = model.verb_loss(logits, priors, seen.verbs[rows].float())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE)
        optimizer.step()
        scheduler.step()
    model.eval()


@torch.no_grad()
def evaluate(model: CLIPPairs, seen: Seen, *, power: float, temperature: float) -> dict[str, float]:
    """HICO-DET's metrics in percent, with one power for both detection scores."""
    model.eval()
    model.powers, model.temperature = (power, power), temperature
    evaluator = HICODetEvaluator(seen.name, distributed=False)
    features = seen.features.split([len(p) for p in seen.pairs])
    for inputs, pairs, rows in zip(seen.inputs, seen.pairs, features):
        scores = model.class_scores(model.class_logits(rows), pairs) * model.pair_priors(pairs)
        evaluator.process(inputs, model.interactions(scores, pairs, inputs))
    model.temperature = 1.0
    return evaluator.evaluate()["hico_det"]


def part_of(name: str, suffix: str, records: list[dict], **metadata: Any) -> str:
    """Registers records of a data set under a name of their own, and returns that."""
    part = f"{name}_{suffix}"
    if part not in DatasetCatalog.list():
        DatasetCatalog.register(part, lambda: records)
        known = {k: v for k, v in MetadataCatalog.get(name).as_dict().items() if k != "name"}
        MetadataCatalog.get(part).set(**known | metadata)
    return part
