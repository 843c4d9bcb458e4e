"""What training moved: the encoder, the layer behind it, the rows; and what features resemble."""

from __future__ import annotations

import torch
from recogniser import Recogniser
from torch import Tensor, nn
from torch.nn import functional as F


@torch.no_grad()
def drift(
    before: Recogniser, after: Recogniser, features: Tensor, actions: Tensor
) -> dict[str, float]:
    """Differences between a model before and after its training.

    Args:
        before, after: the two.
        features: (N, F) of the encoder after training.
        actions: (N,).

    Returns:
        encoder, layer: length of the change, over that of the weights before, in percent; rows:
        mean cosine of each row with itself before; own, others: mean cosine of the features behind
        the layer with the row of their action, and with all other rows; likeness: correlation of
        the cosines of all pairs of actions, of the encoder's mean features and of the first rows.
    """
    first, last = (F.normalize(m.classifier.weight, dim=1) for m in (before, after))
    cosines = F.normalize(after.layer(features), dim=1) @ last.T
    own = cosines.gather(1, actions[:, None])[:, 0]
    is_shown = [(actions == action).any() for action in range(len(first))]
    means = [features[actions == a].mean(dim=0) for a, shown in enumerate(is_shown) if shown]
    rows = first[torch.tensor(is_shown)]
    return {
        "encoder": moved(before.blocks, after.blocks),
        "layer": moved(before.layer, after.layer),
        "rows": (first * last).sum(dim=1).mean().item(),
        "own": own.mean().item(),
        "others": ((cosines.sum(dim=1) - own) / (len(last) - 1)).mean().item(),
        "likeness": likeness(torch.stack(means), rows),
    }


def moved(before: nn.Module, after: nn.Module) -> float:
    """Length of the change of all parameters over their length, in percent; without any, 0."""
    first, last = (
        torch.cat([torch.zeros(1), *(p.detach().flatten() for p in m.parameters())])
        for m in (before, after)
    )
    return (100 * (last - first).norm() / first.norm().clamp(min=1e-12)).item()


def likeness(features: Tensor, rows: Tensor) -> float:
    """Correlation of the cosines of all pairs, of features (C, F) and of rows (C, D)."""
    upper = torch.triu_indices(len(rows), len(rows), offset=1)
    centred = (F.normalize(x - x.mean(dim=0), dim=1) for x in (features, rows))
    pairs = [(x @ x.T)[upper[0], upper[1]] for x in centred]
    return torch.corrcoef(torch.stack(pairs))[0, 1].item()
