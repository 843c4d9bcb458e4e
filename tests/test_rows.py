"""docs/rows.yaml: every file, class, key, value and test that a row names is there."""

from __future__ import annotations

import ast
import functools
import re
import runpy
from pathlib import Path

import pytest

from hoi_d2.model_zoo import configs_root
from tests.small_configs import read_config

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "make_rows_page.py"))
ROOT, STATES, path_of = TOOL["ROOT"], TOOL["STATES"], TOOL["path_of"]
ROWS = [row for group in TOOL["groups"]() for row in group["rows"]]
ENTRIES = {"id", "says", "at", "ours", "config", "set", "check", "state"}
MORE = {"choice": {"paper", "open", "keys", "why"}, "impossible": {"why"}, "equal": {"why"}}


def named(row: dict) -> str:
    return row["id"]


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """Functions and classes at the top of a Python file."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return frozenset(n.name for n in ast.parse(path.read_text()).body if isinstance(n, kinds))


@functools.cache
def config(name: str):
    return read_config(configs_root() / name)


def value_of(name: str, key: str):
    node = config(name)
    for part in key.split("."):
        node = node[part]
    return list(node) if isinstance(node, tuple) else node


def problems(row: dict) -> list[str]:
    """What is wrong with a row; [] = nothing."""
    path = ROOT / path_of(row["ours"])
    name = row["ours"].partition("::")[2]
    found = [] if path.exists() else [f"no file {path}"]
    if name and path.exists() and name not in names_in(path):
        found.append(f"{path} has no {name}")
    test, _, function = row["check"].partition("::")
    if not (ROOT / "tests" / test).is_file():
        found.append(f"no test file {test}")
    elif function not in names_in(ROOT / "tests" / test):
        found.append(f"{test} has no {function}")
    for key, value in row.get("set", {}).items():
        if (have := value_of(row["config"], key)) != value:
            found.append(f"{key} of {row['config']} is {have!r}, not {value!r}")
    return found + choice_problems(row)


def choice_problems(row: dict) -> list[str]:
    """Of the keys that give another value, and of the reasons."""
    if row["state"] not in STATES:
        return [f"no state {row['state']!r}"]
    if row["state"] == "impossible":
        return [] if row.get("why") else ["why is it not possible?"]
    if row["state"] == "equal":
        return []
    if ("paper" in row) == ("open" in row):
        return ["a choice has the source's own setting, or the source leaves it open"]
    if "open" in row:
        keys = row.get("keys", {})
        wrong = [k for k, v in keys.items() if value_of(row["config"], k) != v]
        return [f"keys: {wrong}"] if wrong or not keys else []
    paper = dict(row["paper"])
    own = paper.pop("config", "")
    if own:
        wrong = [k for k, v in paper.items() if value_of(own, k) != v]
        return [f"{own} has other values of {wrong}"] if wrong or not paper else []
    changed = config(row["config"]).clone()
    changed.merge_from_list([x for pair in paper.items() for x in pair])  # the types must fit
    return ["the default is the source's own"] if changed == config(row["config"]) else []


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_every_file_and_name_exists(row):
    assert problems(row) == []
    assert row.keys() <= ENTRIES | MORE[row["state"]]
    assert row["says"] and row["at"]


GOOD = {
    "ours": "modeling/meta_arch/rmlr.py::RmLR",
    "config": "RmLR/R50.yaml",
    "check": "test_rows.py::test_every_file_and_name_exists",
    "state": "equal",
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"ours": "modeling/nothing.py"}, "no file"),
        ({"ours": "modeling/meta_arch/rmlr.py::UPT"}, "has no UPT"),
        ({"check": "test_nothing.py::test_x"}, "no test file"),
        ({"check": "test_rows.py::test_x"}, "has no test_x"),
        ({"check": "test_rows.py"}, "has no "),
        ({"set": {"SOLVER.BASE_LR": 0.1}}, "is 0.0001, not 0.1"),
        ({"state": "nominal"}, "no state"),
        ({"state": "impossible"}, "why"),
        ({"state": "choice"}, "source's own setting"),
        ({"state": "choice", "open": "?"}, "keys"),
        ({"state": "choice", "open": "?", "keys": {"SOLVER.BASE_LR": 1.0}}, "BASE_LR"),
        ({"state": "choice", "paper": {"SOLVER.OPTIMIZER": "ADAMW"}}, "the default is"),
        ({"state": "choice", "paper": {"SOLVER.OPTIMIZER": "ADAM"}}, ""),
    ],
)
def test_a_wrong_row_is_noticed(change, problem):
    found = problems(GOOD | change)
    assert bool(found) == bool(problem)
    assert not found or re.search(re.escape(problem), found[0])


def test_no_row_is_there_twice_and_all_states_occur():
    said = [(row["says"], row["at"], row["ours"]) for row in ROWS]
    assert len(set(said)) == len(said) > 158
    assert {row["state"] for row in ROWS} == set(STATES)


def test_the_page_is_what_the_file_says():
    assert TOOL["PAGE"].read_text() == TOOL["page"](), "python tools/make_rows_page.py"
