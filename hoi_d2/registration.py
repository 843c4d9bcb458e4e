"""Registers models, datasets and shipped weights with detectron2."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1)
def register() -> None:
    """Registers everything once; called where models are built and datasets are looked up."""
    from hoi_d2 import modeling  # noqa: F401  (registers models)
    from hoi_d2.data.builtin import register_all
    from hoi_d2.data.toy.dataset import register_toy
    from hoi_d2.model_zoo import register_path_handler

    register_all()
    register_toy()
    register_path_handler()
