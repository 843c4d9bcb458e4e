"""`hoi-d2 env`: the versions of installed packages, and the missing ones."""

from __future__ import annotations

from collections.abc import Sequence

from hoi_d2.utils.arguments import CommandParser


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; returns the exit code."""
    CommandParser(
        description="Shows the versions of installed packages, and what is missing."
    ).parse_args(argv)
    from hoi_d2.utils.compat import environment_report

    rows = environment_report()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}s}  {value}")
    return 0
