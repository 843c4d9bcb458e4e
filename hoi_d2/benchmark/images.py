"""Training data for benchmarks: the config's own if they are on disk, else made-up JPEGs.

Made-up images have the spectrum of photographs (amplitude falls with frequency), so that their
JPEGs are about as large, and as slow to decode, as those of HICO-DET.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.images import read_dataset_image
from hoi_d2.data.loading.build import load_records
from hoi_d2.data.vocabulary import Vocabulary

NAME = "benchmark_images"
SIZES = ((480, 640), (640, 480), (427, 640))  # usual in COCO and HICO
_ENTITIES = 6  # per image; every second one is a person


@contextmanager
def training_data(cfg: CfgNode, number: int) -> Iterator[str]:
    """Inside, `cfg.DATASETS.TRAIN` can be read.

    Args:
        cfg: a config; if its training set is not on disk, the key names made-up images instead.
        number: how many images to make.

    Yields:
        A description of the images.
    """
    try:
        records = load_records(cfg.DATASETS.TRAIN)
        read_dataset_image(records[0])
        yield f"{', '.join(cfg.DATASETS.TRAIN)}, {len(records)} images"
        return
    except (OSError, KeyError) as error:
        reason = f"{cfg.DATASETS.TRAIN[0]} cannot be read: {type(error).__name__}"
    with tempfile.TemporaryDirectory() as directory:
        vocabulary = vocabulary_of(cfg)
        records = make_records(Path(directory), number, vocabulary)
        DatasetCatalog.register(NAME, lambda: records)
        MetadataCatalog.get(NAME).set(
            thing_classes=list(vocabulary.objects), vocabulary=vocabulary, evaluator_type="hico_det"
        )
        cfg.merge_from_list(["DATASETS.TRAIN", (NAME,), "DATASETS.TEST", ()])
        try:
            yield f"{number} made-up images ({reason})"
        finally:
            DatasetCatalog.remove(NAME)
            MetadataCatalog.remove(NAME)


def make_records(directory: Path, number: int, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """Writes images, always the same, and returns their dataset dicts."""
    rng = np.random.default_rng(0)
    records = []
    for index in range(number):
        height, width = SIZES[index % len(SIZES)]
        path = directory / f"{index}.jpg"
        image = photograph_like(rng, height, width)
        if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 90]):
            raise OSError(f"cannot write {path}")
        record = {"file_name": str(path), "image_id": index, "height": height, "width": width}
        records.append(record | _annotations(rng, height, width, vocabulary))
    return records


def photograph_like(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8 noise whose amplitude falls with frequency to the power 1.2.

    Photographs have 1 to 1.2 (Field, JOSA A 1987); the finest octave then fills a JPEG as theirs.
    """
    shape = (height, width, 3)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=shape), axes=(0, 1)) / frequency[..., None] ** 1.2
    image = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    return np.clip(128 + 55 * image / image.std(), 0, 255).astype(np.uint8)


def _annotations(
    rng: np.random.Generator, height: int, width: int, vocabulary: Vocabulary
) -> dict[str, Any]:
    corners = rng.uniform(0, 0.6, size=(_ENTITIES, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0.1, 0.4, size=(_ENTITIES, 2))], axis=1)
    classes = rng.integers(len(vocabulary.objects), size=_ENTITIES)
    classes[::2] = vocabulary.person
    entities = [
        {"bbox": box.tolist(), "bbox_mode": BoxMode.XYXY_ABS, "category_id": int(category)}
        for box, category in zip(boxes * ([width, height] * 2), classes)
    ]
    pairs = []
    for human, obj in zip(range(0, _ENTITIES, 2), range(1, _ENTITIES, 2)):
        verb = int(rng.choice(np.flatnonzero(vocabulary.valid_verbs[classes[obj]])))
        hoi = int(vocabulary.hoi_of[classes[obj], verb])
        pairs.append({"human": human, "object": obj, "verb": verb, "hoi": hoi})
    return {"annotations": entities, "hoi_annotations": pairs}
