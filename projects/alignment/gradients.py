#!/usr/bin/env python
"""Which loss of RmLR reaches which part of it: norms of the gradients on a batch, as a table.

python projects/alignment/gradients.py                      # today's toy model
python projects/alignment/gradients.py MODEL.RMLR.CML.IRM_VECTORS output \
    MODEL.RMLR.CML.CROSS_ATTENTION layer MODEL.RMLR.CML.FEEDS_IRM False
"""

from __future__ import annotations

import argparse
import sys

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


def as_markdown(table: dict[str, dict[str, float]]) -> str:
    """The table with a row a part and a column a loss; "-" = no gradient."""
    losses = list(next(iter(table.values())))
    rows = [
        [part, *(f"{of[name]:.2g}" if of[name] else "-" for name in losses)]
        for part, of in table.items()
    ]
    return tabulate(rows, headers=["part", *losses], tablefmt="github", disable_numparse=True)


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("options", nargs="*", help="KEY VALUE, ... of the config")
    args = parser.parse_args()
    options = ["MODEL.DEVICE", "cpu", "INPUT.RANDOM_FLIP", "none", "SEED", 1, *args.options]
    cfg = load_config("toy/rmlr_aligned.yaml", options)
    torch.manual_seed(1)
    model = build_model(cfg).train()
    mapper = HOIDatasetMapper(cfg, is_train=True)
    losses = model([mapper(r) for r in DatasetCatalog.get("toy_hoi_val")[:8]])
    print(as_markdown(gradient_norms(model, losses)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
