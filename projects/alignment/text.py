#!/usr/bin/env python
"""What aligned pairs know of their sentences, and how far sentences are from each other.

python projects/alignment/text.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import torch
from layouts import VOCABULARY, Layouts, Looked, look, means, results
from torch import Tensor

from hoi_d2.config.load import load_config
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.modeling.language.cross_modal_alignment import CrossModalAlignment
from hoi_d2.modeling.language.linguistic_knowledge import LinguisticKnowledge, normalised
from hoi_d2.modeling.meta_arch.layout import LayoutRmLR

_IMAGES = 640


@torch.no_grad()
def sentences_found(model: LayoutRmLR, layouts: Layouts) -> dict[str, float]:
    """How near the vectors of annotated pairs are to their sentences, on images not trained on.

    Returns:
        In percent of the pairs, `own`: the nearest of all sentences is one of the pair's;
        `own_of_object`: of the sentences of its object. For each term, `distance`: mean L1 distance
        to the counterpart; `moved`: how far the counterpart moves if the pair is given another
        pair's sentences, in the same unit: 0 = the text has no say in it.
    """
    model.eval()
    first = Layouts(layouts.inputs[:_IMAGES], layouts.truth)
    knowledge = model.alignment.knowledge.load()
    sums: dict[str, float] = {}
    count = 0
    for looked in look(model, first, vectors=True):
        candidates, owners, sentences = knowledge.sentences_of(looked.matches)
        if not len(candidates):
            continue
        seen = _in_space(model.alignment, looked.overall[candidates])
        kinds = looked.kinds[candidates]
        found = _nearest(seen, kinds, owners, sentences, knowledge.sentence[:, 0], knowledge.table)
        found |= _counterparts(model.alignment, seen, owners, sentences)
        count += len(candidates)
        for name, values in found.items():
            sums[name] = sums.get(name, 0.0) + float(values.sum())
    return {name: total / count for name, total in sums.items()} | {"pairs": count}


def _in_space(alignment: CrossModalAlignment, overall: Tensor) -> Tensor:
    """(N, D) vectors of L^m in the space of the text."""
    projection = alignment.projection
    return normalised(overall if projection is None else projection(overall))


def text_logits(alignment: CrossModalAlignment, looked: Looked) -> Tensor:
    """(M, K) how much nearer the sentence of a verb is than those of the object's other verbs.

    In mean L1 distance of a channel; 0 for verbs that the object does not have. RmLR itself never
    asks: to it the text is a loss. This tells what was learnt from the text and is not used.
    """
    knowledge = alignment.knowledge
    said = knowledge.sentence[:, 0]
    distance = torch.cdist(_in_space(alignment, looked.overall), said, p=1) / said.shape[1]
    rows = knowledge.table[looked.kinds]
    known = rows >= 0
    own = distance.gather(1, rows.clamp(min=0)) * known
    mean = own.sum(dim=1, keepdim=True) / known.sum(dim=1, keepdim=True).clamp(min=1)
    return (mean - own) * known


@torch.no_grad()
def score_with_text(
    model: LayoutRmLR, layouts: Layouts, unseen: str, weights: tuple[float, ...]
) -> dict[float, dict[str, float]]:
    """Of each weight of `text_logits` beside the model's logits: what `score` returns."""
    hoi_of = torch.from_numpy(VOCABULARY.hoi_of)
    model.eval().alignment.knowledge.load()
    found: dict[float, list[HOIResults]] = {weight: [] for weight in weights}
    for looked in look(model, layouts, vectors=True):
        said = text_logits(model.alignment, looked)
        for weight, some in found.items():
            some.append(results(looked, hoi_of, looked.logits + weight * said))
    return {weight: means(some, layouts, unseen) for weight, some in found.items()}


def _nearest(
    seen: Tensor, kinds: Tensor, owners: Tensor, sentences: Tensor, said: Tensor, table: Tensor
) -> dict[str, Tensor]:
    """(N,) percent: is the nearest sentence one of the pair's own."""
    distance = torch.cdist(seen, said, p=1)
    own = torch.zeros_like(distance, dtype=torch.bool)
    own[owners, sentences] = True
    of_object = torch.zeros_like(own)
    rows = table[kinds]
    pair, verb = (rows >= 0).nonzero(as_tuple=True)
    of_object[pair, rows[pair, verb]] = True
    best = distance.argmin(dim=1, keepdim=True)
    likely = distance.masked_fill(~of_object, torch.inf).argmin(dim=1, keepdim=True)
    return {
        "own": 100 * own.gather(1, best)[:, 0].float(),
        "own_of_object": 100 * own.gather(1, likely)[:, 0].float(),
    }


def _counterparts(
    alignment: CrossModalAlignment, seen: Tensor, owners: Tensor, sentences: Tensor
) -> dict[str, Tensor]:
    """(N,) distances to, and movements of, the counterparts of each term."""
    found = {}
    count = len(seen)
    other = (owners + 1) % count  # the next pair's sentences take the place of its own
    order = other.argsort(stable=True)
    for level, source in alignment.weights:
        said = alignment._counterpart(level, source, seen, owners, sentences)
        moved = alignment._counterpart(level, source, seen, other[order], sentences[order])
        found[f"{level}_distance"] = (seen - said).abs().mean(dim=1)
        found[f"{level}_moved"] = (moved - said).abs().mean(dim=1)
    return found


def sentence_distances(sentences: Tensor) -> dict[str, float]:
    """Mean L1 distance of a channel between the (600, D) sentences of two HOI classes."""
    distance = torch.cdist(sentences, sentences, p=1) / sentences.shape[1]
    object_, verb = torch.from_numpy(VOCABULARY.hois).T
    others = ~torch.eye(len(sentences), dtype=torch.bool)
    same_object, same_verb = (x[:, None] == x for x in (object_, verb))
    kinds = {
        "same object, other verb": same_object & others,
        "same verb, other object": same_verb & others,
        "neither": ~same_object & ~same_verb,
    }
    return {name: float(distance[rows].mean()) for name, rows in kinds.items()}


def main() -> int:
    hoi_d2.register()
    cfg = load_config(Path(__file__).parent / "layout.yaml", ["MODEL.DEVICE", "cpu"])
    knowledge = LinguisticKnowledge(cfg, VOCABULARY).load()
    for name, distance in sentence_distances(knowledge.sentence[:, 0]).items():
        print(f"{name}: {distance:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
