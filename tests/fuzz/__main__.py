"""Runs many mutants of every form and writes the table of docs/robustness.md.

python -m tests.fuzz --cases 10000 --output fuzz
python -m tests.fuzz --form CVAT --start 5000 --cases 100
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tests.fuzz.form import mutant
from tests.fuzz.forms import FORMS
from tests.fuzz.runner import run_form

HEAD = "| form | tried | loads | named | failed |\n|---|---|---|---|---|"


def main() -> int:
    """Returns 1 if a mutant failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="mutants of each form")
    parser.add_argument("--start", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--form", action="append", help="only those whose name begins so")
    parser.add_argument("--output", type=Path, help="folder for table.md and mutants that failed")
    args = parser.parse_args()
    lines, failed = [HEAD], 0
    print(HEAD, flush=True)
    for name in (n for n in FORMS if n.startswith(tuple(args.form or ("",)))):
        begin, form = time.monotonic(), FORMS[name]
        found = run_form(form, args.start, args.start + args.cases)
        kinds = " | ".join(f"{found.counts[k]:,}" for k in ("loads", "named", "failed"))
        lines.append(f"| {name} | {found.counts.total():,} | {kinds} |")
        print(f"{lines[-1]}  {time.monotonic() - begin:.0f} s", flush=True)
        failed += len(found.failures)
        samples = form.samples()
        for number, said in found.failures.items():
            print(f"    mutant {number}: {said}", flush=True)
            if args.output:
                folder = args.output / f"{name.replace('/', '_')} {number}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / form.file).write_bytes(mutant(form, samples, number))
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        (args.output / "table.md").write_text("\n".join(lines) + "\n")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
