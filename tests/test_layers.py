"""Imports point one way: nothing imports a package above it, no modules or folders are a circle.

Imports inside functions count as well: a circle that a late import hides is still a circle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hoi_d2"
# From the bottom to the top; a name without a folder is a module of the package itself.
LAYERS = (
    *("utils", "structures", "protocols", "model_zoo", "config", "data", "checkpoint"),
    *("modeling", "registration", "solver", "evaluation", "visualization", "engine"),
    *("inference", "export", "demo", "benchmark", "commands", "__main__"),
)
# What the package itself offers, looked up when it is asked for.
INDEX = "hoi_d2"
Graph = dict[str, set[str]]


def module_name(file: Path, root: Path) -> str:
    parts = (root.name, *file.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(code: str, modules: set[str]) -> Iterator[str]:
    """The modules among `modules` that the code imports, anywhere in it but for type checkers."""
    tree = ast.parse(code)
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if (name := inner if inner in modules else node.module) in modules:
                    yield name
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)


def import_graph(root: Path) -> Graph:
    """Module -> the modules of the same package that it imports."""
    files = {module_name(f, root): f for f in sorted(root.rglob("*.py"))}
    names = set(files)
    return {m: set(imported(f.read_text(), names)) - {m} for m, f in files.items()}


def folder_graph(graph: Graph, root: Path) -> Graph:
    """The same between folders.

    A module next to the top `__init__` counts as a folder. The `__init__` of a folder is an index
    of it, and a folder may share modules with the folders inside it: both are left out.
    """
    packages = {module_name(f, root) for f in root.rglob("__init__.py")}

    def folder(module: str) -> str:
        parent = module.rpartition(".")[0]
        return module if module in packages or parent == root.name else parent

    folders: Graph = {}
    for module, targets in graph.items():
        if module not in packages:
            here = folder(module)
            there = {folder(t) for t in targets} - {here, root.name}
            nested = {t for t in there if f"{t}.".startswith(f"{here}.")}
            nested |= {t for t in there if f"{here}.".startswith(f"{t}.")}
            folders.setdefault(here, set()).update(there - nested)
    return folders


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other, by trying every way: slow and obviously right."""
    reach = {node: set(targets) for node, targets in graph.items()}
    for middle in graph:
        for targets in reach.values():
            if middle in targets:
                targets |= reach[middle]
    groups = {frozenset(b for b in reach[a] if a in reach.get(b, ())) for a in reach}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def layer(module: str) -> int:
    """The number of its layer; a module of an unknown folder fails the test."""
    return LAYERS.index(module.split(".")[1])


@pytest.fixture(scope="module")
def graph() -> Graph:
    return import_graph(PACKAGE)


@pytest.mark.parametrize(
    ("graph_", "found"),
    [
        ({}, []),
        ({"a": {"b"}, "b": set()}, []),
        ({"a": {"b"}, "b": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [["a", "b", "c"]]),
    ],
)
def test_circles(graph_, found):
    assert circles(graph_) == found


def test_a_planted_circle_is_seen(tmp_path):
    """A late import counts, between modules and between folders."""
    root = tmp_path / "p"
    for folder in ("low", "high"):
        (root / folder).mkdir(parents=True)
        (root / folder / "__init__.py").write_text("")
    (root / "__init__.py").write_text("")
    (root / "low/a.py").write_text("def f():\n    from p.high.b import g\n")
    (root / "high/b.py").write_text("from p.low import c\n")
    (root / "low/c.py").write_text("")
    graph = import_graph(root)
    assert graph["p.low.a"] == {"p.high.b"} and graph["p.high.b"] == {"p.low.c"}
    assert circles(graph) == []
    assert circles(folder_graph(graph, root)) == [["p.high", "p.low"]]
    (root / "low/c.py").write_text("import p.high.b\n")
    assert circles(import_graph(root)) == [["p.high.b", "p.low.c"]]


def test_every_folder_has_a_layer():
    names = {p.name if p.is_dir() else p.stem for p in PACKAGE.iterdir() if p.suffix in ("", ".py")}
    assert names - {"__init__", "__pycache__"} == set(LAYERS)


def test_no_module_imports_a_package_above_it(graph):
    upward = {
        f"{module} -> {target}"
        for module, targets in graph.items()
        for target in targets
        if INDEX not in (module, target) and layer(target) > layer(module)
    }
    assert not upward


def test_no_module_imports_the_index(graph):
    """`hoi_d2` itself gives names from everywhere: only commands may ask it for its version."""
    known = {"hoi_d2.commands.main"}
    assert {m for m, targets in graph.items() if INDEX in targets} <= known


def test_no_modules_are_a_circle(graph):
    inner = {m: targets - {INDEX} for m, targets in graph.items() if m != INDEX}
    assert circles(inner) == []


def test_no_folders_are_a_circle(graph):
    assert circles(folder_graph(graph, PACKAGE)) == []
