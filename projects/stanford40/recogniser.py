"""DEFR on stored features: the layer behind the frozen encoder, our classifier and our losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor, nn
from torch.nn import functional as F

from hoi_d2.config.load import load_config
from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.samplers import label_counts, oversampling_repeats
from hoi_d2.modeling.language.classifier import build_hoi_classifier
from hoi_d2.modeling.losses.classification import build_classification_loss
from hoi_d2.solver.build import build_lr_scheduler

CONFIG = "configs/DEFR/Stanford40-EfficientNet-Lite0.yaml"
ROWS = ("direct", "random", "words", "MiniLM", "centred", "whitened", "shuffled")
LOSSES = {"LSE-Sign": "LSESign", "BCE": "BCE", "weighted BCE": "WeightedBCE", "focal": "Focal"}
FRACTIONS = ("all", "20", "5", "1", "tail")
FEATURES, _WIDTH = 1280, 384


@dataclass(frozen=True)
class Variant:
    """One way to make a classifier and to train it.

    Attributes:
        rows: one of `ROWS`. "direct": random, and no layer between encoder and classifier;
            "words": the sum of a random vector of each word of the action, which is what classes
            have in common without any language; "shuffled": MiniLM's, each at another class.
        loss: a key of `LOSSES`.
        gamma: of DEFR's equation 1.
        steps: of `batch` photographs.
        rate: learning rate.
        batch: photographs of a step.
    """

    rows: str
    loss: str
    gamma: float = 20.0
    steps: int = 400
    rate: float = 2e-3
    batch: int = 64

    def config(self) -> CfgNode:
        """The project's config, with this variant's values."""
        language = self.rows in ("MiniLM", "centred", "whitened", "shuffled")
        adjusted = self.rows if self.rows in ("centred", "whitened") else "plain"
        return load_config(
            CONFIG,
            [
                *("MODEL.DEFR.LOSS.NAME", LOSSES[self.loss], "MODEL.CLASSIFIER.ROWS", adjusted),
                *("MODEL.CLASSIFIER.INIT", "language" if language else "random"),
                *("MODEL.CLASSIFIER.SCALE", float(self.gamma), "SOLVER.BASE_LR", self.rate),
                *("SOLVER.MAX_ITER", self.steps, "SOLVER.RESTART_ITERS", self.steps),
            ],
        )


class Recogniser(nn.Module):
    """Pooled features (B, F) -> the layer behind the pool -> logits of the actions.

    Args:
        variant: what the classifier is.
        cfg: its config.
        blocks: of the encoder, where they are trained as well; the features are their input then.
    """

    def __init__(self, variant: Variant, cfg: CfgNode, blocks: nn.Module | None = None) -> None:
        super().__init__()
        self.blocks = nn.Identity() if blocks is None else blocks
        direct = variant.rows == "direct"
        self.layer = nn.Identity() if direct else nn.Linear(FEATURES, _WIDTH)
        width = FEATURES if direct else _WIDTH
        self.classifier = build_hoi_classifier(cfg, width=width)
        rows = self.classifier.weight.detach()
        if variant.rows == "words":
            rows = word_rows(vocabulary_of(cfg).verbs, width)
        if variant.rows == "shuffled":
            rows = rows.roll(int(torch.randint(1, len(rows), ())), dims=0)
        self.classifier.weight.data = F.normalize(rows, dim=1)  # random rows as long as all others

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.blocks(features))

    def head(self, features: Tensor) -> Tensor:
        """Logits of the encoder's features."""
        with torch.autocast("cpu", torch.bfloat16):  # of the layer; the classifier is exact
            return self.classifier(self.layer(features))


def word_rows(actions: tuple[str, ...], width: int) -> Tensor:
    """(C, width): "riding_a_bike" and "riding_a_horse" share a part, and mean nothing."""
    words = [set(action.split("_")) - {"a", "an", "the"} for action in actions]
    vectors = {word: torch.randn(width) for word in sorted(set().union(*words))}
    return torch.stack([torch.stack([vectors[w] for w in sorted(some)]).sum(0) for some in words])


def few(actions: Tensor, shots: str, *, seed: int) -> Tensor:
    """Rows of the photographs to train on.

    Args:
        actions: (N,) of all training photographs.
        shots: "all"; a number of each action; or "tail": the actions in random order, from all of
            the first one down to one photograph of the last, in equal ratios.
        seed: of the choice.
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(actions), generator=generator)
    classes = int(actions.max()) + 1
    order = torch.randperm(classes, generator=generator).argsort()
    if shots == "all":
        return shuffled
    rows = []
    for action in range(classes):
        own = shuffled[actions[shuffled] == action]
        share = len(own) ** (-order[action].item() / (classes - 1))
        number = max(round(len(own) * share), 1) if shots == "tail" else int(shots)
        rows.append(own[:number])
    return torch.cat(rows)


def labels_of(actions: Tensor) -> Tensor:
    """(N, C) int8 in HICO's values."""
    return 2 * F.one_hot(actions, 40).to(torch.int8) - 1


def train(
    variant: Variant,
    features: Tensor,
    actions: Tensor,
    *,
    seed: int,
    blocks: nn.Module | None = None,
    share: float = 0.1,
    mirrored: Tensor | None = None,
) -> Recogniser:
    """Trains the layer and the classifier; rare actions are shown more often, as in DEFR.

    Args:
        variant: what is trained.
        features: (N, F), or what `blocks` takes.
        actions: (N,).
        seed: of weights and order.
        blocks: of the encoder, trained at a share of the rate.
        share: see `blocks`.
        mirrored: the same as `features` of the mirrored photographs, one of which is shown half
            of the time.
    """
    torch.manual_seed(seed)
    cfg = variant.config()
    model, labels = Recogniser(variant, cfg, blocks), labels_of(actions)
    repeats = torch.from_numpy(oversampling_repeats(labels.numpy()))
    shown = torch.arange(len(labels)).repeat_interleave(repeats)
    loss = build_classification_loss(cfg, label_counts=label_counts(labels[shown].numpy()))
    optimizer = _optimizer(model, variant.rate, share, cfg.SOLVER.WEIGHT_DECAY)
    scheduler = build_lr_scheduler(cfg, optimizer)
    for rows in islice(_batches(shown, variant.batch), variant.steps):
        inputs = features[rows]
        if mirrored is not None:
            is_mirrored = torch.rand(len(rows)) < 0.5
            inputs[is_mirrored] = mirrored[rows[is_mirrored]]
        optimizer.zero_grad()
        loss(model(inputs), labels[rows]).backward()
        optimizer.step()
        scheduler.step()
    return model.eval()


def _optimizer(model: Recogniser, rate: float, share: float, decay: float) -> torch.optim.Optimizer:
    fresh = [*model.layer.parameters(), *model.classifier.parameters()]
    groups = [{"params": fresh}, {"params": [*model.blocks.parameters()], "lr": share * rate}]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=decay, fused=True)


def _batches(shown: Tensor, size: int) -> Iterator[Tensor]:
    rest = shown[:0]
    while True:
        while len(rest) < size:
            rest = torch.cat([rest, shown[torch.randperm(len(shown))]])
        yield rest[:size]
        rest = rest[size:]


@torch.no_grad()
def logits_of(model: Recogniser, features: Tensor) -> np.ndarray:
    """(N, C)."""
    return torch.cat([model(some) for some in features.split(256)]).numpy()
