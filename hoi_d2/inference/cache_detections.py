"""Runs the entity detector of a config over a dataset and stores what it gives."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList
from torch.utils.data import DataLoader
from tqdm import tqdm

from hoi_d2.config.load import ConfigError, load_config
from hoi_d2.data.loading.build import (
    build_mapper,
    build_test_loader,
    load_records,
    prepare_worker,
    usable_workers,
)
from hoi_d2.data.loading.samples import AUGMENTATION_KEY, BAD_IMAGES_KEY, SampleDataset
from hoi_d2.data.loading.stream import Sample
from hoi_d2.engine.stored_outputs import require_mapper
from hoi_d2.modeling.entity_detector.augmented import (
    AugmentedOutputs,
    augmented_outputs,
    estimated_bytes,
)
from hoi_d2.modeling.entity_detector.build import build_entity_detector, detector_settings
from hoi_d2.modeling.entity_detector.caching import (
    CachedEntityDetector,
    DetectionCache,
)
from hoi_d2.modeling.entity_detector.interface import single_images
from hoi_d2.modeling.entity_detector.weights import MissingDetectorError, missing_weights
from hoi_d2.registration import register
from hoi_d2.utils.user_errors import UserError

logger = logging.getLogger(__name__)


class CacheSpaceError(UserError):
    """The outputs do not fit on the disk."""


def cache_detections(
    config_file: str,
    output: str,
    dataset: str = "",
    opts: Sequence[str] = (),
    *,
    training: bool = False,
) -> dict[str, int]:
    """Stores the outputs that are not there yet.

    Args:
        config_file: of the model that will use them.
        output: folder, to be named in MODEL.ENTITY_DETECTOR.CACHE.
        dataset: a registered one; "" = all of DATASETS.TEST, or of DATASETS.TRAIN.
        opts: KEY, VALUE, ... merged into the config.
        training: store MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS augmentations of each image.

    Returns:
        {"stored": images (or augmentations) that were run, "kept": that were there}.

    Raises:
        ConfigError: the config names no weights, no dataset, or no number of augmentations.
        CacheSpaceError: the augmentations would not fit on the disk.
        OSError: the disk is full; what is stored stays, and a second call goes on.
    """
    cfg = _config(config_file, opts)
    names = (dataset,) if dataset else cfg.DATASETS.TRAIN if training else cfg.DATASETS.TEST
    if not names:
        raise ConfigError(
            f"DATASETS.{'TRAIN' if training else 'TEST'} is empty; name the datasets to cache"
        )
    cache = DetectionCache(output, settings=detector_settings(cfg), write=not training)
    detector = CachedEntityDetector(build_entity_detector(cfg), cache)
    if training:
        return store_augmentations(cfg, detector, load_records(names))
    for name in names:
        for batch in tqdm(build_test_loader(cfg, name), desc=name):
            with torch.no_grad():
                detector(batch)
    return {"stored": cache.misses + cache.stale, "kept": cache.hits}


@torch.no_grad()
def store_augmentations(
    cfg: CfgNode, detector: CachedEntityDetector, records: list[dict[str, Any]]
) -> dict[str, int]:
    """Stores the outputs for the augmentations of training images; see `cache_detections`."""
    number = cfg.MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS
    if number < 1:
        raise ConfigError(
            f"MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS is {number}: name a number of "
            "augmentations of each training image"
        )
    mapper = build_mapper(cfg, is_train=True)
    require_mapper(cfg, mapper)
    detector.cache.write = True
    outputs = augmented_outputs(cfg, detector)
    outputs.start_writing()
    samples = _absent(outputs, records, number)
    total = number * len(records)
    logger.info(
        "%d of %d augmentations are stored in %s", total - len(samples), total, outputs.folder
    )
    _check_space(len(samples) * estimated_bytes(records, mapper, detector), outputs)
    dataset = SampleDataset(
        DatasetFromList(records, copy=False), mapper=mapper, seed=0, augmentations=number
    )
    stored = 0
    for batch in _readable_batches(cfg, dataset, samples):
        inputs = [x for _, x in batch]
        for (sample, x), (found, maps) in zip(batch, single_images(detector.detector(inputs))):
            outputs.put(records[sample.index], x[AUGMENTATION_KEY], found, maps)
            stored += 1
    return {"stored": stored, "kept": total - len(samples)}


def _absent(
    outputs: AugmentedOutputs, records: Sequence[dict[str, Any]], number: int
) -> list[Sample]:
    """What is to be stored: all first augmentations, then all second ones, ..."""
    samples = []
    for augmentation in range(number):
        for index, record in enumerate(records):
            try:
                if outputs.is_fresh(record, augmentation):
                    continue
            except OSError:
                pass  # the loader says what is wrong with the image
            samples.append(Sample(index, 0, augmentation))
    return samples


def _readable_batches(
    cfg: CfgNode, dataset: SampleDataset, samples: list[Sample]
) -> Iterator[list[tuple[Sample, dict[str, Any]]]]:
    """Samples with their model inputs; images that cannot be read are named and left out."""
    size = cfg.TEST.IMS_PER_BATCH
    batches = [samples[i : i + size] for i in range(0, len(samples), size)]
    loader: Any = DataLoader(
        dataset,
        batch_sampler=batches,  # type: ignore[arg-type]  # a sample is more than an index
        num_workers=usable_workers(cfg.DATALOADER.NUM_WORKERS),
        collate_fn=list,
        worker_init_fn=prepare_worker,
    )
    for batch, inputs in zip(batches, tqdm(loader, desc="augmentations", unit="batch")):
        for model_input in inputs:
            for name, reason in model_input.get(BAD_IMAGES_KEY, ())[:1]:
                logger.error("cannot read %s (%s): skipped", name, reason)
        readable = [(s, x) for s, x in zip(batch, inputs) if BAD_IMAGES_KEY not in x]
        if readable:
            yield readable


def _check_space(needed: float, outputs: AugmentedOutputs) -> None:
    free = shutil.disk_usage(outputs.folder).free
    what = f"about {_size(needed)} in {outputs.folder}, where {_size(free)} are free"
    if needed:
        logger.info("storing the outputs takes %s", what)
    if needed > free:
        raise CacheSpaceError(
            f"storing the outputs would take {what}: lower "
            "MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS or INPUT.MAX_SIZE_TRAIN, or name another "
            "--output"
        )


def _size(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def _config(config_file: str, opts: Sequence[str]) -> CfgNode:
    register()
    cfg = load_config(config_file, opts)
    if not cfg.MODEL.ENTITY_DETECTOR.WEIGHTS:
        raise ConfigError(
            "MODEL.ENTITY_DETECTOR.WEIGHTS is empty; name the weights of the detector to cache"
        )
    if reason := missing_weights(cfg):
        raise MissingDetectorError(reason)
    cfg.MODEL.ENTITY_DETECTOR.CACHE = ""
    return cfg
