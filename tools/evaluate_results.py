#!/usr/bin/env python
"""Scores a result file with the official rules, in seconds, without MATLAB or a GPU.

    python tools/evaluate_results.py --dataset hico_det_test --annotations test_hico.json \\
        --image-labels anno.mat --results hoi_results.npz --output metrics.json

`--help` has all options, docs/evaluation.md the rules.
"""

import os
import sys
from pathlib import Path

# Scoring needs numpy alone: without this, importing hoi_d2 would load torch and detectron2.
os.environ.setdefault("HOI_D2_SKIP_REGISTRATION", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hoi_d2.commands.evaluate_results import main

if __name__ == "__main__":
    sys.exit(main())
