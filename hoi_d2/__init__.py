"""hoi_d2: human-object interaction on detectron2. Importing it registers everything with that."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hoi_d2 import modeling
    from hoi_d2.config.defaults import add_hoi_config
    from hoi_d2.inference.predictor import HOIPredictor, get_model, list_models

__version__ = "0.1.0"
__all__ = [
    "HOIPredictor",
    "__version__",
    "add_hoi_config",
    "get_model",
    "list_models",
    "modeling",
    "register",
]

# Imported when somebody asks for them: scoring a result file needs neither models nor drawing.
_PUBLIC = {
    "HOIPredictor": "hoi_d2.inference.predictor",
    "get_model": "hoi_d2.inference.predictor",
    "list_models": "hoi_d2.inference.predictor",
    "add_hoi_config": "hoi_d2.config.defaults",
}


def register() -> None:
    """Registers models, datasets and shipped weights with detectron2; safe to call again.

    Importing the package does it, unless HOI_D2_SKIP_REGISTRATION is set, as by commands that need
    numpy alone and so start at once.
    """
    from hoi_d2.utils.compat import prepare_detectron2

    prepare_detectron2()

    from hoi_d2 import modeling  # noqa: F401  (registers models)
    from hoi_d2.data.builtin import register_all
    from hoi_d2.data.toy.dataset import register_toy
    from hoi_d2.model_zoo import register_path_handler

    register_all()
    register_toy()
    register_path_handler()


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if not os.environ.get("HOI_D2_SKIP_REGISTRATION"):
    register()
