"""Modules of the user's own, imported by name or by path."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path


def import_modules(names: Iterable[str]) -> None:
    """Imports modules, so that what they register can be named in a config.

    Each is imported once in a process, however often it is named: registries refuse a name twice.

    Args:
        names: module names such as "my_package.heads", or paths of .py files, relative to the
            working directory.

    Raises:
        FileNotFoundError: a path that does not exist.
        ImportError: a module that cannot be found, or that imports one that cannot.
    """
    for name in names:
        if name.endswith(".py"):
            _import_file(Path(name))
        else:
            importlib.import_module(name)


def _import_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path} in {Path.cwd()}")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"hoi_d2_import_{path.stem}_{digest}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickle look it up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
