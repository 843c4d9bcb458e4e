#!/usr/bin/env python
"""Writes the tables of MODEL_ZOO.md, README.md and docs/evidence.md; each figure is stored once.

python tools/make_model_zoo.py             # write the tables
python tools/make_model_zoo.py --check     # exit code 1 if a page is out of date
python tools/make_model_zoo.py --measure   # first count parameters and time training steps
python tools/make_model_zoo.py --measure toy/rmlr.yaml RmLR/R50.yaml   # only for these configs


A table between `<!-- zoo: NAME -->` and `<!-- end -->` is made from zoo.json. One between
`<!-- copy: FILE, NAME -->` and `<!-- end -->` is copied from a project's README, from between
`<!-- NAME -->` and `<!-- end of NAME -->`, which the project's script writes. All other text is
written by hand. README.md has a short table of the models that need no training. Each row is a
config of `configs/`. `ours` is null if the config has not been trained; `parameters` and `step` (in
sections with such a column) are measured; all other values are entered by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
PAGE, README = ROOT / "MODEL_ZOO.md", ROOT / "README.md"
EVIDENCE = ROOT / "docs" / "evidence.md"
ZOO = ROOT / "hoi_d2" / "model_zoo" / "zoo.json"
_TABLE = re.compile(r"(<!-- zoo: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

_COPY = re.compile(r"(<!-- copy: (\S+), ([^\n]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table_of(section: dict[str, Any]) -> str:
    """Returns the Markdown table of a section with its `columns` {key: heading} and `rows`."""
    columns = {"config": "config", **section["columns"]}
    lines = [f"| {' | '.join(columns.values())} |", "|---" * len(columns) + "|"]
    for row in section["rows"]:
        cells = [_cell(key, row, section) for key in columns]
        lines.append(f"| {' | '.join(cells)} |")
    if "measured_on" in section:
        lines += ["", f"A step was measured on {section['measured_on']}."]
    return "\n".join(lines) + "\n"


def _cell(key: str, row: dict[str, Any], section: dict[str, Any]) -> str:
    value = row.get(key)
    if key == "config":
        return f"`{value}`"
    if key == "ours" and value is None:
        return f"not trained yet: needs {section['needs']}"
    if key == "weights" and value:
        return f"SHA-256 `{row['sha256'][:8]}`"
    if key == "parameters" and value is None:
        return "unknown"
    if key == "parameters":
        return f"{value['all'] / 1e6:.1f} / {value['trained'] / 1e6:.1f}"
    if key == "step" and value:
        return f"{value['cpu_seconds']:.1f} / {value['peak_memory_mb']}"
    return "" if value is None else str(value)


def short(zoo: dict[str, Any]) -> dict[str, Any]:
    """Returns the table of README.md: the models that can be used without training."""
    toy = [r for r in zoo["toy"]["rows"] if r.get("weights") or not r["parameters"]["trained"]]
    ready = [*zoo["photo"]["rows"], *toy]
    columns = {key: zoo["toy"]["columns"][key] for key in ("what", "ours")}
    return {"ready": {"columns": columns, "rows": ready}}


def filled(page: str, zoo: dict[str, Any]) -> str:
    """Returns the page with its tables replaced by those of `zoo`.

    Raises:
        KeyError: the page and the file do not have the same tables.
    """
    names = [match.group(2) for match in _TABLE.finditer(page)]
    if set(names) != set(zoo):
        raise KeyError(f"the page has tables {sorted(names)}, the file {sorted(zoo)}")
    page = _TABLE.sub(lambda m: m.group(1) + table_of(zoo[m.group(2)]) + m.group(3), page)
    return _COPY.sub(lambda m: m.group(1) + _table_in(*m.group(2, 3)) + m.group(4), page)


def _table_in(file: str, name: str) -> str:
    _, start, rest = (ROOT / file).read_text().partition(f"<!-- {name} -->\n")
    table, end, _ = rest.partition(f"<!-- end of {name} -->")
    if not (start and end):
        raise KeyError(f"{file} has no table {name!r}")
    return table


def write_zoo(zoo: dict[str, Any]) -> None:
    """Writes `zoo.json`."""
    ZOO.write_text(json.dumps(zoo, indent=1, ensure_ascii=False) + "\n")


def measure(zoo: dict[str, Any], configs: Iterable[str], save: Callable[[], None]) -> None:
    """Measures `parameters` and `step` of configs (none given: all) in place; saves after each.

    Raises:
        KeyError: a config has no row.
    """
    rows = {row["config"]: (row, section) for section in zoo.values() for row in section["rows"]}
    configs = list(configs) or list(rows)
    if unknown := sorted(set(configs) - set(rows)):
        raise KeyError(f"no row of {', '.join(unknown)}; the zoo has {', '.join(rows)}")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the weights do not matter: download none
    for row, section in (rows[name] for name in configs):
        if "step" in section["columns"]:
            section["measured_on"], row["step"] = _step_in_a_new_process(row["config"])
            print(row["config"], row["step"], flush=True)
            save()
    # Imported late: a child process inherits the peak memory of its parent, which torch raises.
    from hoi_d2.benchmark.zoo import parameter_counts

    for name in configs:
        rows[name][0]["parameters"] = parameter_counts(name)
        print(name, rows[name][0]["parameters"], flush=True)
        save()


def _step_in_a_new_process(name: str) -> tuple[str, dict[str, Any] | None]:
    """Returns the machine and the step, measured in a new process for a correct peak memory."""
    code = (
        "import json, sys; from hoi_d2.benchmark.zoo import machine, training_step; "
        "print('\\n' + json.dumps([machine(), training_step(sys.argv[1])]))"
    )
    command = [sys.executable, "-c", code, name]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 if a page is out of date"
    )
    parser.add_argument(
        "--measure",
        nargs="*",
        metavar="CONFIG",
        help="measure these configs first, or all (minutes)",
    )
    args = parser.parse_args()
    zoo = json.loads(ZOO.read_text())
    if args.measure is not None:
        measure(zoo, args.measure, lambda: write_zoo(zoo))
    stale = 0
    for page, tables in ((PAGE, zoo), (README, short(zoo)), (EVIDENCE, {})):
        new = filled(page.read_text(), tables)
        if not args.check:
            page.write_text(new)
        elif new != page.read_text():
            print(f"{page.name} is out of date: run python tools/make_model_zoo.py")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
