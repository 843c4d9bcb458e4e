"""`tools/train_net.py` with the tiny world registered; run as a module."""

from __future__ import annotations

import hoi_d2.config.load as load_config
import hoi_d2.engine.setup as setup
from tests import tiny_world as tiny


def run(args) -> object:
    """In each process, which may have been spawned."""

    def add_config(cfg) -> None:
        add_hoi_config(cfg)
        tiny.add_tiny_config(cfg)

    add_hoi_config = load_config.add_hoi_config
    load_config.add_hoi_config = add_config
    tiny.register()
    return setup.run(args)


if __name__ == "__main__":
    setup.main(function=run)
