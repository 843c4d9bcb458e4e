"""`hoi-d2 eval`: evaluates a model on the test set, or with --results scores a result file."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if any(word == "--results" or word.startswith("--results=") for word in arguments):
        from hoi_d2.commands.evaluate_results import main as score

        return score(arguments)
    from hoi_d2.commands.train import main as train

    return train(["--eval-only", *arguments])
