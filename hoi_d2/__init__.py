"""Human-object interaction on detectron2.

Importing the package is light. Models and datasets are registered with detectron2 by the first use
of a public name below (or by `register()`), and by the trainer and the predictor themselves.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hoi_d2.utils.compat import prepare_detectron2
from hoi_d2.utils.light_imports import load_torchvision_without_compiler

if TYPE_CHECKING:
    from hoi_d2 import modeling
    from hoi_d2.config.defaults import add_hoi_config
    from hoi_d2.inference.model_list import list_models
    from hoi_d2.inference.predictor import HOIPredictor, get_model
    from hoi_d2.inference.video_visualizer import HOIVideoVisualizer
    from hoi_d2.registration import register
    from hoi_d2.visualization.visualizer import HOIVisualizer

__version__ = "0.1.0"
__all__ = [
    "HOIPredictor",
    "HOIVideoVisualizer",
    "HOIVisualizer",
    "__version__",
    "add_hoi_config",
    "get_model",
    "list_models",
    "modeling",
    "register",
]

_PUBLIC = {
    "HOIPredictor": "hoi_d2.inference.predictor",
    "HOIVideoVisualizer": "hoi_d2.inference.video_visualizer",
    "HOIVisualizer": "hoi_d2.visualization.visualizer",
    "get_model": "hoi_d2.inference.predictor",
    "list_models": "hoi_d2.inference.model_list",
    "add_hoi_config": "hoi_d2.config.defaults",
    "register": "hoi_d2.registration",
}

prepare_detectron2()
load_torchvision_without_compiler()


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    if name != "register":
        importlib.import_module("hoi_d2.registration").register()
    return value
