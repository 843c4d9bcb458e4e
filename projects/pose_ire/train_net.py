#!/usr/bin/env python
"""Trains RmLR with a frozen pose model in place of the IRE; arguments of tools/train_net.py.

python projects/pose_ire/train_net.py --config-file projects/pose_ire/configs/R50.yaml
"""

import argparse
from typing import Any

from hoi_d2.engine.setup import main, run


def run_with_pose(args: argparse.Namespace) -> dict[str, Any]:
    """`run`, in a process that knows the head."""
    import pose_heads  # noqa: F401  registers it

    return run(args)


if __name__ == "__main__":
    main(function=run_with_pose)
