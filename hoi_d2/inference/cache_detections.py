"""Runs the entity detector of a config over a dataset and stores what it gives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from tqdm import tqdm

from hoi_d2.config.load import load_config
from hoi_d2.data.loading.build import build_test_loader
from hoi_d2.modeling.entity_detector.build import build_entity_detector, detector_settings
from hoi_d2.modeling.entity_detector.caching import CachedEntityDetector, DetectionCache
from hoi_d2.modeling.entity_detector.weights import MissingDetectorError, missing_weights


def cache_detections(
    config_file: str, output: str, dataset: str = "", opts: Sequence[str] = ()
) -> dict[str, int]:
    """Stores the outputs that are not there yet.

    Args:
        config_file: of the model that will use them.
        output: folder, to be named in MODEL.ENTITY_DETECTOR.CACHE.
        dataset: a registered one; "" = all of DATASETS.TEST.
        opts: KEY, VALUE, ... merged into the config.

    Returns:
        {"stored": images that were run, "kept": images that were there}.

    Raises:
        ValueError: the config names no weights, or no dataset.
    """
    cfg = _config(config_file, opts)
    cache = DetectionCache(output, settings=detector_settings(cfg), write=True)
    detector = CachedEntityDetector(build_entity_detector(cfg), cache)
    for name in [dataset] if dataset else cfg.DATASETS.TEST:
        for batch in tqdm(build_test_loader(cfg, name), desc=name):
            with torch.no_grad():
                detector(batch)
    return {"stored": cache.misses + cache.stale, "kept": cache.hits}


def _config(config_file: str, opts: Sequence[str]) -> CfgNode:
    cfg = load_config(config_file, opts)
    if not cfg.MODEL.ENTITY_DETECTOR.WEIGHTS:
        raise ValueError(
            "MODEL.ENTITY_DETECTOR.WEIGHTS is empty; name the weights of the detector to cache"
        )
    if reason := missing_weights(cfg):
        raise MissingDetectorError(reason)
    if not cfg.DATASETS.TEST:
        raise ValueError("DATASETS.TEST is empty; name the datasets to cache")
    cfg.MODEL.ENTITY_DETECTOR.CACHE = ""
    return cfg
