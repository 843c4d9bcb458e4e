"""From a config's name and overrides to a config that runs on this machine."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import yaml
from detectron2.config import CfgNode, get_cfg

from hoi_d2.config.defaults import add_hoi_config
from hoi_d2.config.imports import import_modules
from hoi_d2.model_zoo import config_file, configs_root
from hoi_d2.utils.user_errors import UserError

_MISMATCH = re.compile(
    r"Type mismatch \(<class '([\w.]+)'> vs\. <class '([\w.]+)'>\) "
    r"with values \((.*) vs\. (.*)\) for config key: (\S+)",
    re.DOTALL,
)
BASE_CONFIG = "Base-HOI.yaml"
"""What every config builds on: where hoi_d2 differs from detectron2's defaults."""
_HTTP_BASE = re.compile(r"^_BASE_:.*?(http://\S+)", re.MULTILINE)
_UNKNOWN = re.compile(r"Non-existent config key: ([\w.]+)")
_REMEDIES = {
    ("tuple", "str"): "write it as a tuple, with its comma: \"('{value}',)\"",
    ("list", "str"): "write it as a list: \"['{value}']\"",
    ("float", "int"): "write {value}.0",
    ("bool", "str"): "write True or False",
}


class ConfigError(UserError, ValueError):
    """An invalid config; the message names the file or the key, and the remedy."""


def load_config(path: str, opts: Sequence[Any] = ()) -> CfgNode:
    """Returns the config of a file or packaged name, on the CPU where there is no GPU; not frozen.

    The modules of `MODEL.IMPORTS` are imported.

    Args:
        path: a file, or a name such as `toy/rmlr.yaml`; "" = `Base-HOI.yaml`, the defaults.
        opts: KEY, VALUE, ... merged after it.

    Raises:
        FileNotFoundError, ConfigError: as `merge_config`.
        ConfigError: a module of `MODEL.IMPORTS` cannot be imported.
    """
    cfg = get_cfg()
    add_hoi_config(cfg)
    merge_config(cfg, path or BASE_CONFIG, opts)
    return finish_config(cfg)


def finish_config(cfg: CfgNode) -> CfgNode:
    """A config whose modules are imported, for this machine; the last step of every loader.

    Raises:
        ConfigError: a module of `MODEL.IMPORTS` cannot be imported.
    """
    try:
        import_modules(cfg.MODEL.IMPORTS)
    except (ImportError, FileNotFoundError) as error:
        raise ConfigError(f"MODEL.IMPORTS {cfg.MODEL.IMPORTS}: {error}") from error
    return on_this_machine(cfg)


def on_this_machine(cfg: CfgNode) -> CfgNode:
    """Returns a copy, as frozen as `cfg`, whose device is the CPU where there is no GPU."""
    cfg = cfg.clone()
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        frozen = cfg.is_frozen()
        cfg.defrost()
        cfg.MODEL.DEVICE = "cpu"
        if frozen:
            cfg.freeze()
    return cfg


def usable_device(name: str) -> str:
    """The name of a device that the user has asked for, such as `cpu` or `cuda:1`.

    Raises:
        ConfigError: there is no such device here.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r}: expected cpu, cuda, cuda:0 or mps") from error
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= number:
        raise ConfigError(f"device {name}: this machine has {number or 'no'} GPUs that torch sees")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device {name}: this machine has none that torch sees")
    return name


def merge_config(cfg: CfgNode, path: str, opts: Sequence[Any] = ()) -> None:
    """Merges a file, then KEY, VALUE, ..., into `cfg`.

    Args:
        cfg: with all keys; changed in place.
        path: a file or a packaged name; "" = none.
        opts: as on the command line.

    Raises:
        FileNotFoundError: no such config; similar ones are named.
        ConfigError: the file is not YAML, a key does not exist (the message names similar ones), or
            a value has the wrong type.
    """
    if path:
        _merge_file(cfg, _file(path))
    _check_pairs(opts)
    for key, value in zip(opts[::2], opts[1::2]):
        _merge_option(cfg, key, value)


def _file(path: str) -> str:
    try:
        return config_file(path)
    except FileNotFoundError as error:
        root = configs_root()
        known = [str(p.relative_to(root)) for p in root.rglob("*.yaml")]
        near = difflib.get_close_matches(path.removeprefix("configs/"), known)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise FileNotFoundError(
            f"config not found: {path}. {hint}The {len(known)} configs of hoi_d2 are in {root}"
        ) from error


def _merge_file(cfg: CfgNode, file: str) -> None:
    _refuse_unprotected_bases(file)
    try:
        # A config of somebody else must not run code, which YAML's own tags can.
        cfg.merge_from_file(file, allow_unsafe=False)
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(
            f"{file} includes itself by _BASE_, directly or through another file, or is nested too "
            "deeply: end the circle"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not YAML: it is not a text file ({error.reason})") from error
    except KeyError as error:
        found = _UNKNOWN.search(str(error))
        what = _unknown(cfg, found[1]) if found else str(error.args[0])
        raise ConfigError(f"{file}: {what}") from error
    except (AttributeError, TypeError) as error:
        raise ConfigError(
            f"{file} is not a config: expected groups of keys, such as MODEL"
        ) from error
    except (AssertionError, OSError, ValueError) as error:
        raise ConfigError(f"{file}: {mismatch(error)}") from error


def _refuse_unprotected_bases(file: str) -> None:
    """Raises ConfigError for a `_BASE_` that would be downloaded without encryption."""
    with suppress(OSError, UnicodeDecodeError):  # named when the file is merged
        if found := _HTTP_BASE.search(Path(file).read_text()):
            raise ConfigError(f"{file}: _BASE_ {found[1]} is refused; download it by hand")


def _check_pairs(opts: Sequence[Any]) -> None:
    for word in map(str, opts[::2]):
        if word.startswith("--"):
            raise ConfigError(f"put {word} before the KEY VALUE overrides")
        if "=" in word:
            raise ConfigError(f"{word}: write overrides as KEY VALUE, with a space instead of '='")
    if len(opts) % 2:
        raise ConfigError(
            f"overrides are pairs KEY VALUE, but {opts[-1]} has no value: {list(opts)}"
        )


def _merge_option(cfg: CfgNode, key: str, value: Any) -> None:
    if key not in dict(_keys(cfg)):
        raise ConfigError(_unknown(cfg, key))
    try:
        cfg.merge_from_list([key, value])
    except (AssertionError, ValueError) as error:
        raise ConfigError(mismatch(error, key)) from error


def _keys(cfg: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in cfg.items():
        if isinstance(value, CfgNode):
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _unknown(cfg: CfgNode, key: str) -> str:
    """Returns the message for a key that does not exist, with similar keys."""
    known = [name for name, _ in _keys(cfg)]
    below = [name for name in known if name.startswith(f"{key}.")]
    if below:
        return f"{key} is a group of keys: {', '.join(below[:8])}, ..."
    last = key.rpartition(".")[2].upper()
    near = [name for name in known if name.rpartition(".")[2] == last]
    near += difflib.get_close_matches(key.upper(), known, n=3, cutoff=0.75)
    hint = f". Did you mean {' or '.join(dict.fromkeys(near[:4]))}?" if near else ""
    return f"unknown config key {key}{hint}"


def mismatch(error: Exception, key: str = "") -> str:
    """yacs' error message in plain words, with a remedy where there is a usual one."""
    found = _MISMATCH.search(str(error))
    if not found:
        return f"{key}: {error}" if key else str(error)
    wanted, given, now, value, named = found.groups()
    if wanted.endswith("CfgNode"):
        return f"{key or named} is a group of keys, got the value {value}"
    remedy = _REMEDIES.get((wanted, given), "").format(value=value)
    text = f"{key or named}: expected {wanted}, got {given} {value} (the default is {now})"
    return f"{text}; {remedy}" if remedy else text
