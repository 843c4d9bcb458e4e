"""`hoi-d2 eval --results`: scores a result file with the official rules."""

from __future__ import annotations

from collections.abc import Sequence

from hoi_d2.evaluation.offline import parse_args, run


def main(argv: Sequence[str] | None = None) -> int:
    """Scores a file; returns the exit code."""
    run(parse_args(argv))
    return 0
