"""Stored outputs of augmented training images: an epoch then costs the head alone.

See `caching.py` for the folders. The map and the tokens are stored in float16, boxes and scores in
float32: a pixel of 1,333 is more than float16 tells apart.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.structures import Instances
from torch import Tensor

from hoi_d2.data.images import TOY_SCHEME
from hoi_d2.data.loading.samples import record_name
from hoi_d2.data.transforms import augmentation_settings
from hoi_d2.modeling.entity_detector.caching import (
    CachedEntityDetector,
    DetectionCache,
    StaleEntry,
    Stored,
    describe_folder,
    difference_to_others,
    made_from,
    read_entry,
    short_hash,
    write_entry,
)
from hoi_d2.modeling.entity_detector.interface import EntityDetector
from hoi_d2.utils.files import TEMPORARY_SUFFIX
from hoi_d2.utils.rng import sample_rng
from hoi_d2.utils.user_errors import UserError

_SUFFIX = ".safetensors"
_OLD = 24 * 3600  # seconds after which an unfinished file is nobody's


class MissingOutputsError(UserError):
    """No output of this detector and these augmentations is stored; the message says what is."""


class AugmentedOutputs:
    """A detector's outputs for the augmentations of training images; workers may read them.

    An entry belongs to the bytes of the image file, by their hash: an image that has changed since
    is computed again.

    Args:
        folder: of the detector in a cache.
        settings: text of the config values that augmentations depend on.
    """

    def __init__(self, folder: Path, *, settings: str) -> None:
        self.settings = settings
        self.folder = folder / f"augmented_{short_hash(settings)}"

    def get(self, record: dict[str, Any], augmentation: int) -> Stored | None:
        """Entities and map (float16); None = not there, damaged, or of another image.

        Raises:
            OSError: the image file cannot be read.
        """
        try:
            return read_entry(self.path(record, augmentation), _file_hash(record))
        except StaleEntry:
            return None

    def is_fresh(self, record: dict[str, Any], augmentation: int) -> bool:
        """Whether `get` would find something; it reads the entry's header alone."""
        path = self.path(record, augmentation)
        return path.is_file() and made_from(path) == _file_hash(record)

    def put(
        self, record: dict[str, Any], augmentation: int, found: Instances, feature_map: Tensor
    ) -> None:
        """Stores the output for an augmentation of an image."""
        found = found[torch.arange(len(found))]  # a copy
        if found.has("tokens"):
            found.tokens = _halved(found.tokens)
        metadata = {"image": _file_hash(record), "file_name": record_name(record)}
        write_entry(self.path(record, augmentation), found, _halved(feature_map), metadata)

    def path(self, record: dict[str, Any], augmentation: int) -> Path:
        """Of the entry."""
        return self.folder / f"{short_hash(record_name(record))}_{augmentation}{_SUFFIX}"

    def start_writing(self) -> None:
        """Makes the folder, and removes what killed processes left unfinished a day ago."""
        describe_folder(self.folder, self.settings)
        for path in self.folder.glob(f"*{TEMPORARY_SUFFIX}"):
            if path.stat().st_mtime < time.time() - _OLD:
                path.unlink(missing_ok=True)

    def is_empty(self) -> bool:
        """Whether nothing is stored."""
        return not any(self.folder.glob(f"*{_SUFFIX}"))


def augmented_outputs(cfg: CfgNode, detector: CachedEntityDetector) -> AugmentedOutputs:
    """Those of this detector, as its weights are now, and of the config's augmentations."""
    folder = detector.cache.folder(detector.detector)
    return AugmentedOutputs(folder, settings=augmentation_settings(cfg))


def require_outputs(outputs: AugmentedOutputs, cache: DetectionCache) -> None:
    """Checks that something is stored.

    Raises:
        MissingOutputsError: nothing is; says how the settings of what is there differ.
    """
    if not outputs.is_empty():
        return
    parent = outputs.folder.parent
    if parent.is_dir():
        others = difference_to_others(parent, outputs.settings)
        what = f"{parent} has no stored augmentations of these settings{others}"
    else:
        what = cache.nothing_stored()
    raise MissingOutputsError(
        f"{what}. MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS needs them: fill the cache with "
        '`hoi-d2 cache --training` and the same config, or set MODEL.ENTITY_DETECTOR.CACHE to ""'
    )


def estimated_bytes(
    records: Sequence[dict[str, Any]], mapper: Any, detector: EntityDetector, *, sampled: int = 200
) -> float:
    """Mean size of an entry: that of its map, from the sizes of a part of the images."""
    shape = detector.output_shape()
    sizes: list[int] = []
    for record in records[:: max(len(records) // sampled, 1)]:
        with sample_rng(len(sizes)):
            height, width = mapper.without_image(record)["instances"].image_size
        sizes.append(-(-height // shape.stride) * -(-width // shape.stride))
    return 2 * shape.channels * float(np.mean(sizes))


def _halved(x: Tensor) -> Tensor:
    """In float16, unless a value is too large for it."""
    half = x.half()
    return half if bool(half.isfinite().all()) else x.float()


def _file_hash(record: dict[str, Any]) -> str:
    """Of what the pixels come from: the file, and whether its EXIF orientation counts."""
    name = record["file_name"]
    digest = hashlib.sha256(str(bool(record.get("ignore_exif"))).encode())
    if name.startswith(TOY_SCHEME):  # drawn from the name
        digest.update(name.encode())
    else:
        digest.update(Path(name).read_bytes())
    return digest.hexdigest()
