"""What the documents name is there: files, config keys, options of commands, Python names.

That GETTING_STARTED.md's blocks run, and that the links of the site hold, is checked elsewhere
(test_getting_started.py, the strict build of `make docs`).
"""

from __future__ import annotations

import ast
import pkgutil
import re
from itertools import product
from pathlib import Path

import pytest
from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser

from hoi_d2.config.load import load_config
from hoi_d2.model_zoo import configs_root

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("docs", "datasets", "projects", "configs")
DOCUMENTS = sorted(ROOT.glob("*.md")) + sorted(p for f in FOLDERS for p in (ROOT / f).rglob("*.md"))
ids = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=ids)

LINK = re.compile(r"\]\(([^)#\s]+)")
PATH = re.compile(r"(?<![\w/.$-])(?:configs|tools|hoi_d2|projects|docs|tests)/[\w./{},*+-]*[\w/}*]")
MODEL = re.compile(r"(?<![\w/.-])(?:RmLR|UPT|DEFR|DEFR-Det|Detr|toy)/[\w.{},*-]+\.yaml")
KEY = re.compile(r"\b[A-Z][A-Z0-9_]*(?:\.[A-Z][A-Z0-9_]*)+\b")
COMMAND = re.compile(r"(?:python|torchrun|hoi-d2) [^\n`]*(?:\\\n[^\n]*)*")
OPTION = re.compile(r"(?<!\S)--[a-z][a-z0-9-]*")
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`(hoi_d2(?:\.\w+)+)[`(]")
# Of other programs that the documents call.
FOREIGN = {"--standalone", "--nproc-per-node", "--nnodes", "--rdzv-backend", "--rdzv-endpoint"}
FOREIGN |= {"--durations"}  # pytest


def spelled_out(name: str) -> list[str]:
    """`a/{b,c}.py` as a/b.py and a/c.py."""
    parts = re.split(r"\{([^{}]*)\}", name)
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(choice) for choice in product(*choices)]


def missing(names: list[str], *folders: Path) -> list[str]:
    """Those that are in none of the folders; `*` stands for anything."""
    single = sorted({one for name in names for one in spelled_out(name)})
    return [name for name in single if not any(any(f.glob(name)) for f in folders)]


def is_key(cfg: CfgNode, key: str) -> bool:
    """Whether the config has it, or takes new ones there."""
    for part in key.split("."):
        if part not in cfg:
            return cfg.is_new_allowed()
        cfg = cfg[part]
        if not isinstance(cfg, CfgNode):
            return key.endswith(part)
    return True


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("", [""]),
        ("a.py", ["a.py"]),
        ("{a,b}_{1,2}", ["a_1", "a_2", "b_1", "b_2"]),
        ("x{,-y}.yaml", ["x.yaml", "x-y.yaml"]),
    ],
)
def test_spelled_out(name, names):
    assert spelled_out(name) == names


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        ([], []),
        (["tools/demo.py", "hoi_d2/", "tools/prepare_*.py"], []),
        (["tools/{demo,nothing}.py", "nowhere/*.py"], ["nowhere/*.py", "tools/nothing.py"]),
    ],
)
def test_missing(names, lacking):
    assert missing(names, ROOT) == lacking


@pytest.fixture(scope="module")
def config() -> CfgNode:
    cfg = load_config("")
    return cfg


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("MODEL", True),
        ("MODEL.RMLR.IRE.ENABLED", True),
        ("MODEL.RMLR.EXTRA.OF_A_PROJECT", True),
        ("MODEL.RMLR.IRE.NOTHING", False),
        ("RMLR.IRE.ENABLED", False),
        ("MODEL.WEIGHTS.DEEPER", False),
    ],
)
def test_is_key(config, key, known):
    assert is_key(config, key) == known


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every option that some command of this project takes."""
    sources = [p.read_text() for f in ("hoi_d2", "tools", "tests", "projects")
               for p in (ROOT / f).rglob("*.py")]  # fmt: skip
    ours = {o for text in sources for o in re.findall(r'"(--[a-z][a-z0-9-]*)"', text)}
    return ours | set(default_argument_parser()._option_string_actions) | FOREIGN


def test_there_are_documents():
    assert {"README.md", "docs/evaluation.md", "datasets/README.md"} <= set(ids)


@every_document
def test_links_and_files(document):
    text = document.read_text()
    links = [link for link in LINK.findall(text) if "://" not in link]
    assert not missing(links, document.parent)
    assert not missing(PATH.findall(text), ROOT, document.parent)
    assert not missing(MODEL.findall(text), configs_root())


@every_document
def test_keys(document, config):
    assert not [key for key in sorted(set(KEY.findall(document.read_text())))
                if not is_key(config, key)]  # fmt: skip


@every_document
def test_options(document, options):
    commands = COMMAND.findall(document.read_text())
    assert not {o for command in commands for o in OPTION.findall(command)} - options


@every_document
def test_python_names(document):
    """What is imported in a block, and what is named in full, can be imported."""
    text = document.read_text()
    names = set(NAME.findall(text))
    for code in BLOCK.findall(text):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("hoi_d2"):
                names |= {f"{node.module}:{alias.name}" for alias in node.names}
    for name in sorted(names):
        pkgutil.resolve_name(name)


def test_every_page_is_listed_once():
    """In the navigation, and on the overview except for the overview itself."""
    pages = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    named = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(pages)
    linked = re.findall(r"\]\(([\w/]+\.md)\)", (ROOT / "docs/index.md").read_text())
    assert sorted(linked) == sorted(pages - {"index.md"})
