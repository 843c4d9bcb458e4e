"""`hoi-d2 eval`: evaluates a model on the test set, or with --results scores a result file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

HELP = """\
usage: hoi-d2 eval --model M [KEY VALUE ...]
       hoi-d2 eval --config-file F [KEY VALUE ...]
       hoi-d2 eval --results F --dataset D [--annotations A] [options]

Evaluates a model on DATASETS.TEST, or scores a result file with the official rules.

examples:
  hoi-d2 eval --model output/my_run --device cuda:1 --batch-size 8 --half
  hoi-d2 eval --model toy/rmlr
  hoi-d2 eval --config-file toy/rmlr.yaml MODEL.WEIGHTS hoi_d2://toy/rmlr.safetensors
  hoi-d2 eval --results hoi_results.json --dataset toy_hoi_val
  hoi-d2 eval --results hoi_results.npz --dataset hico_det_test --annotations test_hico.json

All options of a model's evaluation: hoi-d2 train --help
All options of scoring:              hoi-d2 eval --results F --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if any(word == "--results" or word.startswith("--results=") for word in arguments):
        from hoi_d2.commands.evaluate_results import main as score

        return score(arguments)
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    from hoi_d2.commands.train import main as train

    return train(["--eval-only", *arguments])
