"""The modules of projects/stanford40, and a data set of its form without photographs."""

import importlib
import json
import sys
from contextlib import contextmanager
from pathlib import Path

from hoi_d2.data.builtin import register_all

_PROJECT = Path(__file__).parents[2] / "projects" / "stanford40"


@contextmanager
def stanford40_modules(monkeypatch, tmp_path, *, actions, names):
    """Name -> module; what was imported from the project is forgotten in the end."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(_PROJECT), *sys.path])
    modules = {name: importlib.import_module(name) for name in names}
    (tmp_path / "stanford40").mkdir()
    content = {"actions": actions, "images": []}
    (tmp_path / "stanford40" / "stanford40.json").write_text(json.dumps(content))
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    register_all()
    yield modules
    register_all()
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").is_relative_to(_PROJECT.parent):
            del sys.modules[name]
