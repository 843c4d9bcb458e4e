"""First rows of a classifier of HOI classes: at random, from factors, or adjusted language vectors.

Sentences of one form have a large part in common, so the plain vectors of a language model point
into one narrow cone. *Factor* rows are the control of every comparison with language: they know
which classes share a verb or an object, and nothing about the words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ADJUSTMENTS = ("plain", "centred", "whitened")
_SHRINKAGE = 0.1  # 600 sentences do not determine the covariance of 384 numbers


def random_rows(classes: int, width: int, *, head: str) -> Tensor:
    """(C, D) as the release draws them: N(0, 1/D) for cosine, `nn.Linear`'s default for linear."""
    if head == "linear":
        return nn.Linear(width, classes).weight.detach()
    return torch.randn(classes, width) * width**-0.5


def factor_rows(hois: Tensor, width: int) -> Tensor:
    """A random vector of each object plus one of each verb: composition without language.

    Args:
        hois: (C, 2) object and verb of each class.
        width: D.

    Returns:
        (C, D) of length 1.
    """
    objects, verbs = (torch.randn(int(ids.max()) + 1, width)[ids] for ids in hois.T)
    return F.normalize(objects + verbs, dim=1)


def adjusted_rows(rows: Tensor, adjustment: str) -> Tensor:
    """Takes away what the vectors of all classes have in common.

    Whitening (Su et al., arXiv 2103.15316) gives all directions the same variance; the covariance
    is mixed with a tenth of its mean variance, so that directions that hardly vary are not blown
    up.

    Args:
        rows: (C, D) of length 1.
        adjustment: `plain`, `centred` (without their mean), or `whitened`.

    Returns:
        (C, D) of length 1, or 0 where nothing is left (a single class).

    Raises:
        ValueError: another word.
    """
    if adjustment not in ADJUSTMENTS:
        raise ValueError(
            f"MODEL.CLASSIFIER.ROWS must be one of {', '.join(ADJUSTMENTS)}, got {adjustment!r}"
        )
    if adjustment == "plain":
        return rows
    centred = rows.double() - rows.double().mean(dim=0)
    if adjustment == "whitened":
        values, vectors = torch.linalg.eigh(centred.T @ centred / max(len(rows), 1))
        values = (1 - _SHRINKAGE) * values.clamp(min=0) + _SHRINKAGE * values.mean()
        centred = centred @ vectors * values.clamp(min=1e-12).rsqrt() @ vectors.T
    return F.normalize(centred, dim=1).to(rows.dtype)
