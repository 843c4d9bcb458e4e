"""`hoi-d2 train`: trains or evaluates a model; the arguments are detectron2's."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Starts the processes of the run; returns the exit code."""
    from hoi_d2.engine.setup import main as start

    start(None if argv is None else list(argv))
    return 0
