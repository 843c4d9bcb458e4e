"""Which keys a resumed run has otherwise than the run that wrote the checkpoint."""

from __future__ import annotations

from typing import Any

import yaml


def config_differences(then: str, now: str) -> list[str]:
    """Lines such as "SOLVER.BASE_LR: 0.001 then, 0.01 now", sorted by key.

    Args:
        then, now: configs as `CfgNode.dump` writes them; "" = not known, and no difference.
    """
    if not (then and now):
        return []
    before, after = _flat(yaml.safe_load(then)), _flat(yaml.safe_load(now))
    return [
        f"{key}: {before.get(key, 'none')} then, {after.get(key, 'none')} now"
        for key in sorted(before | after)
        if before.get(key) != after.get(key)
    ]


def _flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in node.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
