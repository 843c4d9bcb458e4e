#!/usr/bin/env python
"""Writes docs/rows.md: what the papers and the task say, beside what is ours and what checks it.

python tools/make_rows_page.py            # write the page
python tools/make_rows_page.py --check    # exit code 1 if it is out of date

The rows are in docs/rows.yaml, whose head says what each entry means. tests/test_rows.py holds them
against the code, the configs and the tests.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
ROWS, PAGE = ROOT / "docs" / "rows.yaml", ROOT / "docs" / "rows.md"
STATES = {"equal": "equal", "choice": "choice", "impossible": "not possible here"}
_FOLDERS = ("configs/", "projects/", "tools/", "docs/", "setup.py")

HEAD = """\
# What the papers say, row by row

The statements of RmLR's supplement, of DEFR's paper and of the task, with the file that does it and
the test that holds it. `tools/make_rows_page.py` makes this page from `docs/rows.yaml`;
`tests/test_rows.py` fails where a named file, class, key, value or test is not there. What the main
paper of RmLR says beyond its supplement could not be read.

- *equal*: ours is what the source says.
- *choice*: a key decides. "Source's own" is the keys, or the config, that give what the source
  says. "Open" means that the source does not say; the keys are our reading.
- *not possible here*: and why.

"""


def groups() -> list[dict[str, Any]]:
    """The groups of docs/rows.yaml; each row has a number `id`."""
    found = yaml.safe_load(ROWS.read_text())
    counts: Counter[str] = Counter()
    for group in found:
        for row in group["rows"]:
            counts[group["letter"]] += 1
            row["id"] = f"{group['letter']}{counts[group['letter']]}"
            row.setdefault("config", group["config"])
    return found


def path_of(ours: str) -> str:
    """`modeling/x.py::Name` -> the file's path below the checkout."""
    name = ours.partition("::")[0]
    return name if name.startswith(_FOLDERS) else f"hoi_d2/{name}"


def total(found: list[dict[str, Any]]) -> str:
    """How many rows there are of each state, in words."""
    states = Counter(row["state"] for group in found for row in group["rows"])
    return f"{states.total()} rows: " + ", ".join(f"{states[s]} {STATES[s]}" for s in STATES)


def page() -> str:
    """The text of docs/rows.md."""
    found = groups()
    parts = [f"{HEAD}{total(found)}.\n"]
    for group in found:
        lines = [f"## {group['title']}", "", "| | where | says | ours | check | state |"]
        lines += ["|---|---|---|---|---|---|", *(_line(row) for row in group["rows"]), ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _line(row: dict[str, Any]) -> str:
    name = row["ours"].partition("::")[2]
    ours = f"`{path_of(row['ours'])}`" + (f" `{name}`" if name else "")
    if row.get("set"):
        ours += f"; {_keys(row['set'])} in `{row['config']}`"
    cells = [row["id"], row["at"], row["says"], ours, f"`tests/{row['check']}`", _state(row)]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _state(row: dict[str, Any]) -> str:
    text = STATES[row["state"]]
    if paper := dict(row.get("paper", {})):
        config = paper.pop("config", "")
        text += f". Source's own: {_keys(paper)}" + (f" (`{config}`)" if config else "")
    if "open" in row:
        text += f". Open: {row['open']} ({_keys(row['keys'])})"
    return f"{text}. {row['why']}" if row.get("why") else text


def _keys(values: dict[str, Any]) -> str:
    return ", ".join(f"`{key} {_value(value)}`" for key, value in values.items())


def _value(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    args = parser.parse_args()
    text = page()
    if args.check:
        return int(PAGE.read_text() != text)
    PAGE.write_text(text)
    print(f"{PAGE}: {total(groups())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
