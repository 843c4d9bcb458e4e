"""Code imports what stands before it in the data flow (CONTRIBUTING.md), never the other way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hoi_d2"
# part of the package -> the parts that it may know besides itself
MAY_KNOW = {
    "utils": {"checkpoint", "config"},
    "data": {"utils"},
    "checkpoint": {"data", "model_zoo", "utils"},
    "modeling": {"config", "data", "model_zoo", "checkpoint", "utils"},
    "evaluation": {"data", "utils"},
    "visualization": {"data", "evaluation", "utils"},
}
PARTS = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}


def parts_in(code: str) -> set[str]:
    """The parts of hoi_d2 that a module imports."""
    modules = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module == "hoi_d2":
            modules += [f"hoi_d2.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return {name.split(".")[1] for name in modules if name.startswith("hoi_d2.")} & PARTS


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("", set()),
        ("import torch\nfrom hoi_d2 import get_model", set()),
        ("from hoi_d2.data.toy import x\nimport hoi_d2.engine.hooks", {"data", "engine"}),
        ("def f():\n    from hoi_d2 import export", {"export"}),
    ],
)
def test_parts_in(code, parts):
    assert parts_in(code) == parts


@pytest.mark.parametrize("part", MAY_KNOW)
def test_imports_go_one_way(part):
    files = sorted((PACKAGE / part).rglob("*.py"))
    assert files
    known = {file.name: parts_in(file.read_text()) - MAY_KNOW[part] - {part} for file in files}
    assert not {name: parts for name, parts in known.items() if parts}
