"""DEFR on stored features: the layer behind the frozen encoder, our classifier and our losses."""

from __future__ import annotations

import copy
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
from hoi_d2.modeling.image_encoder.convolutional import ConvolutionalEncoder
from hoi_d2.modeling.language.classifier import build_hoi_classifier
from hoi_d2.modeling.losses.classification import build_classification_loss
from hoi_d2.solver.build import build_lr_scheduler

CONFIG = "configs/DEFR/Stanford40-EfficientNet-Lite0.yaml"
ROWS = ("direct", "random", "words", "MiniLM", "centred", "whitened", "shuffled")
LOSSES = {"LSE-Sign": "LSESign", "BCE": "BCE", "weighted BCE": "WeightedBCE", "focal": "Focal"}
FRACTIONS = ("all", "20", "5", "1", "tail")
FEATURES, _WIDTH, _BATCH = 1280, 384, 64


@dataclass(frozen=True)
class Variant:
    """One way to make a classifier and to train it.

    Attributes:
        rows: one of `ROWS`. "direct": random, and no layer between encoder and classifier;
            "words": the sum of a random vector of each word of the action, which is what classes
            have in common without any language; "shuffled": MiniLM's, each at another class.
        loss: a key of `LOSSES`.
        gamma: of DEFR's equation 1.
        steps: of 64 photographs.
        rate: learning rate.
    """

    rows: str
    loss: str
    gamma: float = 20.0
    steps: int = 400
    rate: float = 2e-3

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


class LastBlock(nn.Module):
    """A copy of the encoder's last block and what follows it, to be trained.

    Batch norm keeps ImageNet's statistics.

    Args:
        encoder: the frozen one.
    """

    def __init__(self, encoder: ConvolutionalEncoder) -> None:
        super().__init__()
        network = encoder.network
        parts = copy.deepcopy([encoder.blocks[-1], network.conv_head, network.bn2])
        self.parts = nn.Sequential(*parts).eval().requires_grad_()

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, rows, columns) -> (B, F)."""
        return self.parts(maps.float()).mean(dim=(2, 3))


class Recogniser(nn.Module):
    """Pooled features (B, F) -> the layer behind the pool -> logits of the actions.

    Args:
        variant: what the classifier is.
        cfg: its config.
        last: where it is trained as well; the features are its maps then.
    """

    def __init__(self, variant: Variant, cfg: CfgNode, last: LastBlock | None = None) -> None:
        super().__init__()
        self.last = nn.Identity() if last is None else last
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
        features = self.last(features)
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
    last: LastBlock | None = None,
) -> Recogniser:
    """Trains the layer and the classifier; rare actions are shown more often, as in DEFR.

    Args:
        variant: what is trained.
        features: (N, F).
        actions: (N,).
        seed: of weights and order.
        last: fine-tuned at a tenth of the rate.
    """
    torch.manual_seed(seed)
    cfg = variant.config()
    model, labels = Recogniser(variant, cfg, last), labels_of(actions)
    repeats = torch.from_numpy(oversampling_repeats(labels.numpy()))
    shown = torch.arange(len(labels)).repeat_interleave(repeats)
    loss = build_classification_loss(cfg, label_counts=label_counts(labels[shown].numpy()))
    decay = cfg.SOLVER.WEIGHT_DECAY
    fresh = [*model.layer.parameters(), *model.classifier.parameters()]
    groups = [{"params": fresh}, {"params": [*model.last.parameters()], "lr": variant.rate / 10}]
    groups = [group for group in groups if group["params"]]
    optimizer = torch.optim.AdamW(groups, lr=variant.rate, weight_decay=decay, fused=True)
    scheduler = build_lr_scheduler(cfg, optimizer)
    for rows in islice(_batches(shown), variant.steps):
        optimizer.zero_grad()
        loss(model(features[rows]), labels[rows]).backward()
        optimizer.step()
        scheduler.step()
    return model.eval()


def _batches(shown: Tensor) -> Iterator[Tensor]:
    rest = shown[:0]
    while True:
        while len(rest) < _BATCH:
            rest = torch.cat([rest, shown[torch.randperm(len(shown))]])
        yield rest[:_BATCH]
        rest = rest[_BATCH:]


@torch.no_grad()
def logits_of(model: Recogniser, features: Tensor) -> np.ndarray:
    """(N, C)."""
    return torch.cat([model(some) for some in features.split(256)]).numpy()
