#!/usr/bin/env python
"""What an aligned RmLR of the toy world has learnt of its sentences, and at what price.

python projects/rmlr_ablation/inspect_alignment.py "output/rmlr_ablation/+_both/1/model_final.pth"

Prints how far the sentences are from each other, whether the sentence nearest to a pair is its own,
and the gradients that the verb loss and the alignment send into the shared parts.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from torch import Tensor, nn

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.config.load import load_config
from hoi_d2.data.mappers import HOIDatasetMapper
from hoi_d2.data.toy.dataset import drawn_hois
from hoi_d2.modeling.language.linguistic_knowledge import normalised

SHARED = ("relation_encoder", "to_union", "to_global", "to_human")


def load(checkpoint: str, options: list[str]) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The model in training mode, and the toy images it has not seen."""
    options = ["MODEL.DEVICE", "cpu", "INPUT.RANDOM_FLIP", "none", *options]
    cfg = load_config("toy/rmlr_aligned.yaml", options)
    model = build_model(cfg)
    HOICheckpointer(model).load(checkpoint, strict=False)
    mapper = HOIDatasetMapper(cfg, is_train=True)
    return model.train(), [mapper(r) for r in DatasetCatalog.get("toy_hoi_val")[:160]]


def sentence_distances(model: nn.Module) -> str:
    """Mean L1 distance of two sentences of the classes that are drawn."""
    drawn = torch.tensor(drawn_hois())
    vectors = model.alignment.knowledge.load().sentence[drawn, 0]
    distance = torch.cdist(vectors, vectors, p=1) / vectors.shape[1]
    obj, verb = torch.from_numpy(model.vocabulary.hois)[drawn].T
    others = ~torch.eye(len(drawn), dtype=torch.bool)
    alike = {
        "same object, other verb": (obj[:, None] == obj) & others,
        "same verb, other object": (verb[:, None] == verb) & others,
    }
    alike["neither"] = others & ~sum(alike.values()).bool()
    return ", ".join(f"{name} {distance[rows].mean():.2f}" for name, rows in alike.items())


def run_with_vectors(model: nn.Module, batch: list[dict]) -> tuple[dict[str, Tensor], Tensor, Any]:
    """Losses, the vectors that L^m aligns, and the matches of a batch."""
    kept: dict[str, Any] = {}
    hook = model.alignment.register_forward_hook(
        lambda _, inputs, output: kept.update(vectors=inputs[0]["irm"], matches=inputs[1])
    )
    losses = model(batch)
    hook.remove()
    return losses, kept["vectors"], kept["matches"]


@torch.no_grad()
def nearest_sentences(model: nn.Module, inputs: list[dict[str, Any]]) -> str:
    """How often the sentence nearest to an annotated pair, of those drawn, is one of its own."""
    texts, drawn = model.alignment.knowledge.load(), torch.tensor(drawn_hois())
    hois = torch.from_numpy(model.vocabulary.hois)
    own = own_object = count = 0
    for x in inputs:
        _, vectors, matches = run_with_vectors(model, [x])
        candidates, owners, sentences = texts.sentences_of(matches)
        distance = torch.cdist(normalised(vectors[candidates]), texts.sentence[drawn, 0], p=1)
        best = drawn[distance.argmin(dim=1)]
        is_own = torch.zeros(len(candidates), dtype=torch.bool)
        is_own[owners[sentences == best[owners]]] = True
        is_object = torch.zeros_like(is_own)
        is_object[owners[hois[sentences, 0] == hois[best[owners], 0]]] = True
        own, own_object = own + int(is_own.sum()), own_object + int(is_object.sum())
        count += len(candidates)
    shares = f"own {100 * own / count:.0f} %, of its object {100 * own_object / count:.0f} %"
    return f"{count} pairs: {shares}"


def gradients(model: nn.Module, inputs: list[dict[str, Any]]) -> list[str]:
    """Norms into each shared part, and the cosine between them."""
    parts = {name: list(getattr(model.interaction_heads, name).parameters()) for name in SHARED}
    flat = [p for parameters in parts.values() for p in parameters]
    sums: dict[str, list[Tensor]] = {}
    for start in range(0, 32, 8):
        losses = model(inputs[start : start + 8])
        verb = losses.pop("loss_verb")
        for name, loss in (("verb", verb), ("alignment", sum(losses.values()))):
            found = torch.autograd.grad(loss, flat, retain_graph=True, materialize_grads=True)
            before = sums.get(name, [torch.zeros_like(p) for p in flat])
            sums[name] = [a + b for a, b in zip(before, found)]
    lines, start = [], 0
    for name, parameters in parts.items():
        rows = slice(start, start + len(parameters))
        start += len(parameters)
        verb, align = (torch.cat([g.flatten() for g in sums[k][rows]]) for k in sums)
        cosine = torch.nn.functional.cosine_similarity(verb, align, dim=0)
        ratio = align.norm() / verb.norm()
        lines.append(f"{name}: alignment / verb loss {ratio:.2f}, cosine {cosine:.2f}")
    return lines


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("options", nargs="*", help="KEY VALUE, ... of the config")
    args = parser.parse_args()
    model, inputs = load(args.checkpoint, args.options)
    print("distance of sentences:", sentence_distances(model))
    print("nearest sentence:", nearest_sentences(model, inputs))
    print("gradients:", *gradients(model, inputs), sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
