"""What the console command `hoi-d2` starts: help and scoring do not wait for torch and detectron2.

It is no part of the package, because importing the package is what takes the time.
"""

from __future__ import annotations

import os
import sys

_LIGHT = "HOI_D2_SKIP_REGISTRATION"


def main() -> int:
    """Runs `hoi_d2.cli`, which registers models and datasets where a command needs them."""
    given = os.environ.get(_LIGHT)
    os.environ[_LIGHT] = "1"
    from hoi_d2.cli import main as run

    if given is None:
        del os.environ[_LIGHT]
    return run()


if __name__ == "__main__":
    sys.exit(main())
