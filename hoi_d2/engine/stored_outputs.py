"""Training from a cache: stored outputs of the frozen detector take the place of images."""

from __future__ import annotations

import logging
from typing import Any

from detectron2.config import CfgNode
from torch import nn

from hoi_d2.config.load import ConfigError
from hoi_d2.data.loading.samples import SampleDataset
from hoi_d2.modeling.entity_detector.augmented import augmented_outputs, require_outputs
from hoi_d2.modeling.entity_detector.caching import CachedEntityDetector

logger = logging.getLogger(__name__)


def use_stored_outputs(cfg: CfgNode, model: nn.Module, dataset: SampleDataset) -> None:
    """Lets the loader's dataset read MODEL.ENTITY_DETECTOR.CACHE, if the config wants that.

    Call it when the detector has its weights, and before the loader's workers start.

    Args:
        cfg: the whole config.
        model: of the run.
        dataset: of the training loader.

    Raises:
        ConfigError: the model has no frozen detector, or the mapper cannot do without images.
        MissingOutputsError: nothing is stored for this detector and these augmentations.
    """
    node = cfg.MODEL.ENTITY_DETECTOR
    if not (node.CACHE and node.CACHE_AUGMENTATIONS):
        return
    detector: Any = getattr(model, "entity_detector", None)
    if not isinstance(detector, CachedEntityDetector):
        raise ConfigError(
            f"MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS: {type(model).__name__} has no frozen "
            "detector whose outputs could be stored; set it to 0"
        )
    require_mapper(cfg, dataset.mapper)
    outputs = augmented_outputs(cfg, detector)
    require_outputs(outputs, detector.cache)
    dataset.stored = outputs
    logger.info(
        "training on %d stored augmentations of each image: %s",
        node.CACHE_AUGMENTATIONS,
        outputs.folder,
    )


def require_mapper(cfg: CfgNode, mapper: Any) -> None:
    """Checks that a mapper can make targets without the image.

    Raises:
        ConfigError: it cannot.
    """
    if not hasattr(mapper, "without_image"):
        raise ConfigError(
            f"MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS: DATALOADER.MAPPER {cfg.DATALOADER.MAPPER} "
            "has no method `without_image`; take HOIDatasetMapper, or set it to 0"
        )
