"""Weights that an installed Python package holds: `package:NAME`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE_PREFIX = "package:"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def package_weights(source: str) -> Path:
    """The weight file of a package; its code is not run.

    Args:
        source: `package:` and the name that Python imports it by.

    Raises:
        FileNotFoundError: it is not installed, or does not hold one such file.
    """
    name = source.removeprefix(PACKAGE_PREFIX)
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"{source}: the Python package {name} is not installed: pip install {name}"
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    files = sorted(p for p in folder.rglob("*") if p.suffix in _SUFFIXES)
    if len(files) != 1:
        found = ", ".join(str(p.relative_to(folder)) for p in files[:5]) or "none"
        raise FileNotFoundError(f"{source}: one weight file is expected in {folder}, found {found}")
    return files[0]
