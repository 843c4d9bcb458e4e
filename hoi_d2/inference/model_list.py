"""The models that come with the package."""

from __future__ import annotations

from detectron2.modeling import META_ARCH_REGISTRY

from hoi_d2.config.file_values import FileValues
from hoi_d2.config.imports import import_modules
from hoi_d2.model_zoo import PREFIX, configs_root, model_names, pretrained_weights
from hoi_d2.protocols import has_capability
from hoi_d2.registration import register


def list_models(*, pretrained: bool = False) -> list[str]:
    """Names of the models that find interactions; each is a config that comes with the package.

    Args:
        pretrained: only those whose weights come along too.
    """
    register()
    values = FileValues()
    names = [name for name in model_names() if _finds_interactions(name, values)]
    return [name for name in names if not pretrained or _has_weights(name, values)]


def _finds_interactions(name: str, values: FileValues) -> bool:
    file = configs_root() / f"{name}.yaml"
    import_modules(values.value(file, "MODEL.IMPORTS"))
    architecture = META_ARCH_REGISTRY.get(values.value(file, "MODEL.META_ARCHITECTURE"))
    return has_capability(architecture, "finds_interactions")


def _has_weights(name: str, values: FileValues) -> bool:
    """Whether all weights come along: under the model's name, or named in its config."""
    file = configs_root() / f"{name}.yaml"
    weights = values.value(file, "MODEL.WEIGHTS") or pretrained_weights(name) or ""
    detector = values.value(file, "MODEL.ENTITY_DETECTOR.WEIGHTS")
    return weights.startswith(PREFIX) and (not detector or detector.startswith(PREFIX))
