"""Compares a checkpoint with the config and the model that it is loaded into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from torch import Tensor, nn

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.weight_files import WeightFile
from hoi_d2.protocols import frozen_prefixes, has_capability

_MAY_DIFFER = 0.25
_NAMED = 3


def check_config_of(file: WeightFile, weights: Mapping[str, Tensor], model: nn.Module) -> None:
    """Refuses a checkpoint of another config, of which next to nothing would be loaded.

    A few weights may differ, for example those of a classifier of other classes.

    Args:
        file: as it was read.
        weights: of the file, under the model's names.
        model: a plain detector takes what fits, by detectron2's rules.

    Raises:
        WeightsError: more than a quarter of the weights has no place in the model; names the
            config that the file belongs to.
    """
    if not any(has_capability(model, c) for c in ("finds_interactions", "classifies_images")):
        return
    own, frozen = model.state_dict(), frozen_prefixes(model) or ("\0",)
    trained = {name: t for name, t in weights.items() if not name.startswith(frozen)}
    wrong = [n for n, t in trained.items() if n not in own or own[n].shape != t.shape]
    if len(wrong) <= _MAY_DIFFER * len(trained):
        return
    examples = ", ".join(
        f"{name} {tuple(weights[name].shape)}, "
        + (f"here {tuple(own[name].shape)}" if name in own else "not here")
        for name in wrong[:_NAMED]
    )
    raise WeightsError(
        f"{file.name} belongs to another config: {len(wrong)} of its {len(trained)} weights do not "
        f"fit this model ({examples}). {_origin(file)}"
    )


def _origin(file: WeightFile) -> str:
    """The config that a file was trained with, as far as the file tells."""
    flat = _read(file.extra.get("config", ""))
    if not flat:
        return "Use the config that it was trained with (config.yaml next to it)"
    return (
        f"It was trained with MODEL.META_ARCHITECTURE {flat.get('MODEL.META_ARCHITECTURE')} in "
        f"{flat.get('OUTPUT_DIR')}: use config.yaml of that folder"
    )


def config_differences(then: str, now: str) -> list[str]:
    """Lines such as "SOLVER.BASE_LR: 0.001 then, 0.01 now", sorted by key.

    Args:
        then, now: configs as `CfgNode.dump` writes them; "" = not known, and no difference.
    """
    if not (then and now):
        return []
    before, after = _read(then), _read(now)
    return [
        f"{key}: {before.get(key, 'none')} then, {after.get(key, 'none')} now"
        for key in sorted(before | after)
        if before.get(key) != after.get(key)
    ]


def _read(text: str) -> dict[str, Any]:
    """Full key -> value of a config as text; empty where a file holds another text."""
    try:
        config = yaml.safe_load(text)
        return _flat(config) if isinstance(config, dict) else {}
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return {}


def _flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in node.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
