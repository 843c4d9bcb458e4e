"""From a config to an entity detector with its weights."""

from __future__ import annotations

from detectron2.config import CfgNode

from hoi_d2.checkpoint.hub import is_hub_id
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.entity_detector.caching import CachedEntityDetector, DetectionCache
from hoi_d2.modeling.entity_detector.interface import ENTITY_DETECTOR_REGISTRY, EntityDetector
from hoi_d2.modeling.layers.onednn import use_onednn


def build_entity_detector(cfg: CfgNode) -> EntityDetector:
    """The detector named `cfg.MODEL.ENTITY_DETECTOR.NAME`, frozen and in evaluation mode.

    It holds the weights of `cfg.MODEL.ENTITY_DETECTOR.WEIGHTS`, where that names a file. With
    `CACHE`, outputs that are stored there are read and not computed again.

    Raises:
        KeyError: no such name; lists the registered ones.
        FileNotFoundError: no such weight file.
        WeightsError: the weights do not fit.
    """
    node = cfg.MODEL.ENTITY_DETECTOR
    if node.NAME not in ENTITY_DETECTOR_REGISTRY:
        known = ", ".join(sorted(name for name, _ in ENTITY_DETECTOR_REGISTRY))
        raise KeyError(f"MODEL.ENTITY_DETECTOR.NAME {node.NAME!r} is none of {known}")
    detector: EntityDetector = ENTITY_DETECTOR_REGISTRY.get(node.NAME)(cfg)
    if node.WEIGHTS:
        detector.load_weights(node.WEIGHTS, sha256=node.SHA256, revision=node.REVISION)
    detector.is_random = not node.WEIGHTS and any(True for _ in detector.parameters())
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
