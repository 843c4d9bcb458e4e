"""hoi_d2: human-object interaction on detectron2. Importing it registers models and datasets."""

import os

__version__ = "0.1.0"

# Scoring a result file needs numpy alone; `tools/evaluate_results.py` sets this to start fast.
if not os.environ.get("HOI_D2_SKIP_REGISTRATION"):
    from hoi_d2.compat import prepare_detectron2

    prepare_detectron2()

    from hoi_d2 import modeling
    from hoi_d2.config import add_hoi_config
    from hoi_d2.data.builtin import register_all
    from hoi_d2.data.datasets.toy import register_toy
    from hoi_d2.model_zoo import register_path_handler

    register_all()
    register_toy()
    register_path_handler()

    __all__ = [
        "HOIPredictor",
        "__version__",
        "add_hoi_config",
        "get_model",
        "list_models",
        "modeling",
    ]

_OF_PREDICTOR = ("HOIPredictor", "get_model", "list_models")


def __getattr__(name: str):
    """Drawing and models are imported when somebody asks for them."""
    if name in _OF_PREDICTOR:
        from hoi_d2.engine import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
