"""Damages files of every form and checks the answer: they load, or a `UserError` names them.

    python -m tests.fuzz --cases 10000

Samples come from the tests of each form, whose folders are no packages.
"""

import sys
from pathlib import Path

for _folder in ("data", "evaluation"):
    sys.path.append(str(Path(__file__).parents[1] / _folder))
