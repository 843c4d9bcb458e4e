"""Refuses to use a model of which a part holds random weights by accident."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import nn

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.protocols import stand_ins

logger = logging.getLogger(__name__)
KEY = "MODEL.ALLOW_RANDOM_WEIGHTS"
_REMEDIES = {
    "entity_detector": "MODEL.ENTITY_DETECTOR.WEIGHTS",
    "image_encoder": "MODEL.IMAGE_ENCODER.WEIGHTS",
}


def refuse_random_weights(model: nn.Module, random_parts: Sequence[str], *, allowed: bool) -> None:
    """Refuses a model with parts that should have come from a file and did not.

    Args:
        model: after its weights were loaded.
        random_parts: prefixes of the parts that no file has filled and that should be; "" = all.
        allowed: the user wants random weights (`MODEL.ALLOW_RANDOM_WEIGHTS`).

    Raises:
        WeightsError: names the parts, and where their weights are named.
    """
    parts = list(dict.fromkeys([*random_parts, *_unfilled_stand_ins(model, random_parts)]))
    if not parts:
        return
    if allowed:
        logger.warning("random weights, whose scores mean nothing: %s", named(parts))
        return
    reasons = stand_ins(model)
    lines = [f"random weights, whose scores mean nothing: {named(parts)}"]
    lines += [reasons.get(part) or f"{named([part])}: {_remedy(part)}" for part in parts]
    raise WeightsError(f"{'. '.join(lines)}. Set {KEY} True to use random weights on purpose")


def _unfilled_stand_ins(model: nn.Module, random_parts: Sequence[str]) -> list[str]:
    """Stand-ins that no checkpoint has replaced: those still random, or never in a checkpoint."""
    saved = list(model.state_dict())
    return [
        name
        for name in stand_ins(model)
        if name in random_parts or not any(key.startswith(f"{name}.") for key in saved)
    ]


def named(parts: Sequence[str]) -> str:
    """Prefixes as words."""
    return ", ".join(part.rstrip(".") or "the whole model" for part in parts)


def _remedy(part: str) -> str:
    key = _REMEDIES.get(part.rstrip("."))
    return f"name weights in {f'{key} or ' if key else ''}MODEL.WEIGHTS"
