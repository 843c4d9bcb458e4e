"""`tools/train_net.py` with the tiny world registered; the tests start it in processes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # spawned workers import `tests.engine.tiny`

import hoi_d2.engine.setup as setup
from tests.engine import tiny


def add_config(cfg) -> None:
    tiny.add_hoi_config(cfg)
    tiny.register()
    tiny.add_tiny_config(cfg)


setup.add_hoi_config = add_config

if __name__ == "__main__":
    setup.main()
