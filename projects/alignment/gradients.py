#!/usr/bin/env python
"""Which loss of RmLR reaches which part of it: norms of the gradients on a batch, as a table.

python projects/alignment/gradients.py                      # today's toy model
python projects/alignment/gradients.py --readings           # the three of docs/reproducing.md
python projects/alignment/gradients.py MODEL.RMLR.CML.IRM_VECTORS output \
    MODEL.RMLR.CML.CROSS_ATTENTION layer MODEL.RMLR.CML.FEEDS_IRM False
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from tabulate import tabulate
from torch import Tensor, nn

from hoi_d2.config.load import load_config
from hoi_d2.data.mappers import HOIDatasetMapper

_HEADS = "interaction_heads"
PARTS: dict[str, tuple[str, ...]] = {
    "entity detector": ("entity_detector",),
    "g": (f"{_HEADS}.to_global",),
    "s": (f"{_HEADS}.to_human", f"{_HEADS}.to_object"),
    "IRE": (f"{_HEADS}.relation_encoder",),
    "m": (f"{_HEADS}.to_union",),
    "self-attention of O": (f"{_HEADS}.overall_attention",),
    "self-attention of M": (f"{_HEADS}.union_attention",),
    "IRM": (f"{_HEADS}.reasoning.projection", f"{_HEADS}.reasoning.layers"),
    "predictor": (f"{_HEADS}.reasoning.predictor",),
    "projection of L^m": ("alignment.projection",),
    **{
        f"cross-attention, {level}, {letter}": (f"alignment.attentions.{level}_{source}",)
        for source, letter in (("irm", "L^m"), ("ire", "L^a"))
        for level in ("sentence", "word")
    },
}
"""Names of the parts, and where their parameters are."""

READINGS: dict[str, tuple[str, ...]] = {
    "output: L^m is about what the IRM computes (configs/RmLR)": (
        *("MODEL.RMLR.CML.IRM_VECTORS", "output"),
    ),
    "input: L^m is about what the IRM reads": ("MODEL.RMLR.CML.IRM_VECTORS", "input"),
    "layer: as output, with a whole cross-attention layer (Algorithm 1)": (
        *("MODEL.RMLR.CML.IRM_VECTORS", "output", "MODEL.RMLR.CML.CROSS_ATTENTION", "layer"),
    ),
}
"""Readings of cross-modal learning, and their keys."""

_SHORT = {
    "loss_verb": "pair loss",
    "loss_align_sentence_irm": "L^m, sentence",
    "loss_align_word_irm": "L^m, word",
    "loss_align_sentence_ire": "L^a, sentence",
    "loss_align_word_ire": "L^a, word",
}


def gradient_norms(
    model: nn.Module, losses: dict[str, Tensor], parts: dict[str, tuple[str, ...]] = PARTS
) -> dict[str, dict[str, float]]:
    """Norms of the gradients of each loss.

    Args:
        model: whose parts they are.
        losses: of one forward; the graph is kept.
        parts: name -> prefixes of the parameters' names.

    Returns:
        part -> loss -> norm; 0 where the loss does not reach the part. A part that the model does
        not have is left out; one whose parameters are all frozen is not.
    """
    named = dict(model.named_parameters())
    table: dict[str, dict[str, float]] = {}
    for part, prefixes in parts.items():
        chosen = [p for n, p in named.items() if n.startswith(tuple(f"{x}." for x in prefixes))]
        trained = [p for p in chosen if p.requires_grad]
        if chosen:
            table[part] = {name: _norm(loss, trained) for name, loss in losses.items()}
    return table


def _norm(loss: Tensor, parameters: list[nn.Parameter]) -> float:
    if not parameters:
        return 0.0
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    squares = [g.square().sum() for g in found if g is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def trained_parameters(
    model: nn.Module, parts: dict[str, tuple[str, ...]] = PARTS
) -> dict[str, int]:
    """How many parameters of each part are trained."""
    named = [(n, p.numel()) for n, p in model.named_parameters() if p.requires_grad]
    return {
        part: sum(count for n, count in named if n.startswith(tuple(f"{x}." for x in prefixes)))
        for part, prefixes in parts.items()
    }


def as_markdown(table: dict[str, dict[str, float]], trained: dict[str, int]) -> str:
    """The table with a row a part and a column a loss; "-" = no gradient."""
    losses = list(next(iter(table.values())))
    rows = [
        [part, f"{trained[part]:,}", *(f"{of[n]:.2g}" if of[n] else "-" for n in losses)]
        for part, of in table.items()
    ]
    headers = ["part", "trained parameters", *(_SHORT.get(n, n) for n in losses)]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("options", nargs="*", help="KEY VALUE, ... of the config")
    parser.add_argument("--readings", action="store_true", help="a table for each reading")
    args = parser.parse_args()
    if not args.readings:
        print(printed_table(args.options))
        return 0
    for name, options in READINGS.items():
        print(f"\n{name}\n\n{printed_table([*options, *args.options])}")
    return 0


def printed_table(options: Sequence[str]) -> str:
    """The table of the toy world's RmLR with these options, on eight images before training."""
    all_options = ["MODEL.DEVICE", "cpu", "INPUT.RANDOM_FLIP", "none", "SEED", 1, *options]
    cfg = load_config("toy/rmlr_aligned.yaml", all_options)
    torch.manual_seed(1)
    model = build_model(cfg).train()
    mapper = HOIDatasetMapper(cfg, is_train=True)
    losses = model([mapper(r) for r in DatasetCatalog.get("toy_hoi_val")[:8]])
    return as_markdown(gradient_norms(model, losses), trained_parameters(model))


if __name__ == "__main__":
    sys.exit(main())
