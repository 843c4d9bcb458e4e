"""The config that a checkpoint or a published model holds, as text."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg

from hoi_d2.config.defaults import add_hoi_config
from hoi_d2.config.load import BASE_CONFIG, ConfigError, finish_config, merge_config, mismatch

logger = logging.getLogger(__name__)
IMPORTS = "MODEL.IMPORTS"


def load_saved_config(text: str, opts: Sequence[Any] = (), *, source: str) -> CfgNode:
    """The config of a text as `CfgNode.dump` writes it; not frozen.

    The text may come from anybody, so it cannot name modules to import: who trusts them names
    them in `opts`. Keys that this version does not have are left out with a warning, since
    checkpoints live longer than keys.

    Args:
        text: YAML.
        opts: KEY, VALUE, ... merged after it.
        source: the file of the text, for messages.

    Raises:
        ConfigError: the text is no config, a value has the wrong type, or it names modules.
    """
    cfg = get_cfg()
    add_hoi_config(cfg)
    merge_config(cfg, BASE_CONFIG)
    content = _parse(text, source)
    if unknown := list(_remove_unknown(content, cfg)):
        logger.warning(
            "%s: its config has keys of another version, which are left out: %s",
            *(source, ", ".join(unknown)),
        )
    try:
        cfg.merge_from_other_cfg(CfgNode(content))
    except (AssertionError, KeyError, ValueError) as error:
        raise ConfigError(f"{source}: its config is damaged: {mismatch(error)}") from error
    if cfg.MODEL.IMPORTS and IMPORTS not in opts:
        raise ConfigError(
            f"{source}: its config imports {', '.join(map(str, cfg.MODEL.IMPORTS))}, which would "
            f'run code that it names. If you trust it, say so: {IMPORTS} "{cfg.MODEL.IMPORTS}"'
        )
    merge_config(cfg, "", opts)
    return finish_config(cfg)


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source}: its config is not YAML") from error
    if not (isinstance(content, dict) and isinstance(content.get("MODEL"), dict)):
        raise ConfigError(f"{source}: its config has no group MODEL")
    return content


def _remove_unknown(content: dict[Any, Any], cfg: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Removes the keys that `cfg` does not have, and gives their names."""
    for key in list(content):
        if key not in cfg:
            if not getattr(cfg, "is_new_allowed", bool)():
                del content[key]
                yield f"{at}{key}"
        elif isinstance(cfg[key], CfgNode) and isinstance(content[key], dict):
            yield from _remove_unknown(content[key], cfg[key], f"{at}{key}.")
