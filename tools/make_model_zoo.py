#!/usr/bin/env python
"""Writes the tables of MODEL_ZOO.md from hoi_d2/model_zoo/zoo.json, which holds every figure once.

python tools/make_model_zoo.py           # writes them
python tools/make_model_zoo.py --check   # exit 1 if the page is not what the file says

A table stands between `<!-- zoo: NAME -->` and `<!-- end -->`; the rest is the page's own.
A row is a config of `configs/`; `ours` is null where nobody has trained it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "MODEL_ZOO.md"
ZOO = ROOT / "hoi_d2" / "model_zoo" / "zoo.json"
_TABLE = re.compile(r"(<!-- zoo: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table_of(section: dict[str, Any]) -> str:
    """Markdown of a section: its `columns` {key: heading}, its `rows`, what untrained rows lack."""
    columns = {"config": "config", **section["columns"]}
    lines = [f"| {' | '.join(columns.values())} |", "|---" * len(columns) + "|"]
    for row in section["rows"]:
        cells = [_cell(key, row, section) for key in columns]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(key: str, row: dict[str, Any], section: dict[str, Any]) -> str:
    value = row.get(key)
    if key == "config":
        return f"`{value}`"
    if key == "ours" and value is None:
        return f"not trained yet: needs {section['needs']}"
    if key == "weights" and value:
        return f"`{value}` (SHA-256 `{row['sha256'][:8]}`)"
    return "" if value is None else str(value)


def filled(page: str, zoo: dict[str, Any]) -> str:
    """The page with its tables as `zoo` has them.

    Raises:
        KeyError: a table that the file does not have, or one that the page lacks.
    """
    names = [match.group(2) for match in _TABLE.finditer(page)]
    if set(names) != set(zoo):
        raise KeyError(f"the page has tables {sorted(names)}, the file {sorted(zoo)}")
    return _TABLE.sub(lambda m: m.group(1) + table_of(zoo[m.group(2)]) + m.group(3), page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    page = PAGE.read_text()
    new = filled(page, json.loads(ZOO.read_text()))
    if args.check and new != page:
        print("MODEL_ZOO.md is not what zoo.json says: python tools/make_model_zoo.py")
        return 1
    if not args.check:
        PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
