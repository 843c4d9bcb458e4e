"""From a config to an entity detector with its weights."""

from __future__ import annotations

import logging

from detectron2.config import CfgNode

from hoi_d2.checkpoint.hub import is_hub_id
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.entity_detector.caching import CachedEntityDetector, DetectionCache
from hoi_d2.modeling.entity_detector.interface import ENTITY_DETECTOR_REGISTRY, EntityDetector
from hoi_d2.modeling.entity_detector.weights import is_default, missing_weights, require_weights
from hoi_d2.modeling.layers.onednn import use_onednn

logger = logging.getLogger(__name__)


def build_entity_detector(cfg: CfgNode) -> EntityDetector:
    """The detector named `cfg.MODEL.ENTITY_DETECTOR.NAME`, frozen and in evaluation mode.

    It holds the weights of `cfg.MODEL.ENTITY_DETECTOR.WEIGHTS`, where that names a file. A file
    that is not there is an error, unless it is the default of a config, MODEL.WEIGHTS may hold a
    copy of the detector, or random weights are allowed: then the detector is random, until a
    checkpoint fills it, and says so. With `CACHE`, outputs that are stored there are read and not
    computed again.

    Raises:
        KeyError: no such name; lists the registered ones.
        MissingDetectorError: no such weight file; says what makes or brings it.
        WeightsError: the weights do not fit.
    """
    node = cfg.MODEL.ENTITY_DETECTOR
    if node.NAME not in ENTITY_DETECTOR_REGISTRY:
        known = ", ".join(sorted(name for name, _ in ENTITY_DETECTOR_REGISTRY))
        raise KeyError(f"MODEL.ENTITY_DETECTOR.NAME {node.NAME!r} is none of {known}")
    missing = missing_weights(cfg)
    if not is_default(cfg):
        require_weights(cfg)
    detector: EntityDetector = ENTITY_DETECTOR_REGISTRY.get(node.NAME)(cfg)
    if node.WEIGHTS and not missing:
        detector.load_weights(node.WEIGHTS, sha256=node.SHA256, revision=node.REVISION)
    elif missing:
        logger.warning("%s", missing.partition("\n")[0])
    detector.stand_in = missing
    has_weights = any(True for _ in detector.parameters())
    detector.is_random = has_weights and (not node.WEIGHTS or bool(missing))
    detector.to(cfg.MODEL.DEVICE).requires_grad_(False)
    use_onednn(detector, enabled=cfg.MODEL.ONEDNN_LINEAR)
    if node.CACHE:
        detector = CachedEntityDetector(
            detector, DetectionCache(node.CACHE, settings=detector_settings(cfg))
        )
    return detector.eval()


def detector_models(cfg: CfgNode) -> list[HubModel]:
    """The models of the Hugging Face hub that the detector is loaded from."""
    node = cfg.MODEL.ENTITY_DETECTOR
    sources = dict.fromkeys((node.WEIGHTS, node.TRANSFORMERS.CONFIG))
    return [HubModel(source, node.REVISION) for source in sources if is_hub_id(source)]


def detector_settings(cfg: CfgNode) -> str:
    """Every config value that a detector's output may depend on, as text."""
    node = cfg.MODEL.ENTITY_DETECTOR.clone()
    node.defrost()
    # Where they lie; the weights themselves are hashed.
    node.CACHE = node.WEIGHTS = node.SHA256 = node.REVISION = ""
    node.CACHE_AUGMENTATIONS = 0
    pixels = [list(cfg.MODEL.PIXEL_MEAN), list(cfg.MODEL.PIXEL_STD)]
    return f"{node.dump()}{cfg.MODEL.DETR.dump()}pixels: {pixels}"
