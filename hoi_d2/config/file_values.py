"""A few values of many config files, without a config of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import get_cfg

from hoi_d2.config.defaults import add_hoi_config

_NONE = object()
# libyaml's loader, ten times as fast; PyYAML can be built without it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class FileValues:
    """Values of config files, as `load_config` would give them, a hundred files in a moment.

    Every file is read once, however many build on it, and nothing is merged or checked: for the
    files of the package, which the tests load in full. Keep it no longer than one call, because it
    does not see later changes of the files.

    Examples:
        >>> FileValues().value(configs_root() / "toy/rmlr.yaml", "MODEL.META_ARCHITECTURE")
        'RmLR'
    """

    def __init__(self) -> None:
        self._files: dict[Path, dict[str, Any]] = {}
        self._defaults = get_cfg()
        add_hoi_config(self._defaults)

    def value(self, file: Path, key: str) -> Any:
        """The value of a key: of the file, else of its bases, else the default.

        Args:
            file: a YAML file.
            key: of a single value, such as `MODEL.WEIGHTS`; groups of keys are not joined.

        Raises:
            KeyError: there is no such key.
        """
        names = key.split(".")
        found = self._in_file(file, names)
        found = _inside(self._defaults, names) if found is _NONE else found
        if found is _NONE:
            raise KeyError(key)
        return found

    def _in_file(self, file: Path, names: Sequence[str]) -> Any:
        content = self._content(file)
        found = _inside(content, names)
        bases = content.get("_BASE_", [])
        # Of several bases the last one wins.
        for base in reversed([bases] if isinstance(bases, str) else bases):
            if found is _NONE:
                found = self._in_file(file.parent / Path(base).expanduser(), names)
        return found

    def _content(self, file: Path) -> dict[str, Any]:
        file = file.resolve()
        if file not in self._files:
            with file.open("rb") as stream:
                self._files[file] = yaml.load(stream, _Loader) or {}
        return self._files[file]


def _inside(content: dict[str, Any], names: Sequence[str]) -> Any:
    found: Any = content
    for name in names:
        if not isinstance(found, dict) or name not in found:
            return _NONE
        found = found[name]
    return found
