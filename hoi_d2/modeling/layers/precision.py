"""The precision that a frozen network computes in."""

from __future__ import annotations

import torch

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def precision_named(name: str, *, key: str) -> torch.dtype:
    """The type of "float32" or "bfloat16".

    Args:
        name: the value of the config.
        key: of the config, for the message.

    Raises:
        ValueError: it is neither.
    """
    if name not in _PRECISIONS:
        raise ValueError(f"{key} must be one of {', '.join(_PRECISIONS)}, got {name!r}")
    return _PRECISIONS[name]
