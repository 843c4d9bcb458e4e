"""Reads the images of the training stream, and replaces those that cannot be read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from detectron2.data.detection_utils import SizeMismatchError
from torch.utils.data import Dataset, get_worker_info

from hoi_d2.data.loading.stream import Sample
from hoi_d2.utils.rng import sample_rng

# The errors of a missing, truncated or mislabelled file: Pillow's are OSErrors, except for broken
# PNG chunks (SyntaxError).
BAD_IMAGE_ERRORS = (OSError, EOFError, SyntaxError, SizeMismatchError, cv2.error)
BAD_IMAGES_KEY = "bad_images"
AUGMENTATION_KEY = "augmentation"
"""Of a model input: the number of its augmentation, where an image has a fixed number of them."""
STORED_KEY = "stored_output"
"""Of a model input without `image`: what `StoredOutputs` gave for it."""
_REPLACEMENTS = 20
# Bad images that are allowed at any share, so that one in the first batch does not end the run.
_GRACE = 5
logger = logging.getLogger(__name__)


def record_name(record: dict[str, Any]) -> str:
    """Returns the name of a record in messages."""
    return str(record.get("file_name") or f"image {record.get('image_id')}")


class StoredOutputs(Protocol):
    """What a frozen network made of augmented images earlier."""

    def get(self, record: dict[str, Any], augmentation: int) -> Any | None:
        """The output for an augmentation of an image; None = not there, or the image changed."""


class SampleDataset(Dataset):
    """Maps each sample with its own random numbers, and replaces images that cannot be read.

    With a fixed number of augmentations, those of an image are always the same, whatever the seed
    and the other records; the passes over the data take them in turn.

    The key "bad_images" of a replacement lists (name, reason) of each unreadable image, so that
    the main process can count those of all workers.

    Args:
        records: indexable dataset dicts (a detectron2 `DatasetFromList`).
        mapper: dataset dict -> model input.
        seed: the seed of the stream.
        num_workers: the number of workers of the loader.
        augmentations: of an image; 0 = a new one at each draw.

    Attributes:
        stored: outputs that take the place of images; None = all images are read.
    """

    def __init__(
        self,
        records: Sequence[dict[str, Any]],
        *,
        mapper: Callable[[dict[str, Any]], dict[str, Any]],
        seed: int,
        num_workers: int = 0,
        augmentations: int = 0,
    ) -> None:
        self.records, self.mapper, self.seed = records, mapper, seed
        self.augmentations = augmentations
        self.stored: StoredOutputs | None = None
        # In shared memory: when a worker dies, the main process still sees what it was reading.
        self._reading = torch.full((max(num_workers, 1),), -1).share_memory_()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, sample: Sample) -> dict[str, Any]:
        bad: list[tuple[str, str]] = []
        for index in self._candidates(sample):
            record = self.records[index]
            name = record_name(record)
            self._reading[self._worker()] = index
            try:
                result = self._mapped(record, sample)
            except BAD_IMAGE_ERRORS as error:
                bad.append((name, f"{type(error).__name__}: {error}"))
                continue
            except Exception as error:
                raise RuntimeError(f"the mapper failed on {name}: {error!r}") from error
            self._reading[self._worker()] = -1
            if bad:
                result[BAD_IMAGES_KEY] = bad
            return result
        raise OSError(f"{len(bad)} consecutive images could not be read: {bad}")

    def _mapped(self, record: dict[str, Any], sample: Sample) -> dict[str, Any]:
        if not self.augmentations:
            with sample_rng(self.seed, sample.position):
                return self.mapper(record)
        number = sample.occurrence % self.augmentations
        found = self.stored.get(record, number) if self.stored else None
        with sample_rng(*_words(record_name(record)), number):
            if found is None:
                return self.mapper(record) | {AUGMENTATION_KEY: number}
            mapper: Any = self.mapper
            return mapper.without_image(record) | {STORED_KEY: found}

    def being_read(self) -> list[str]:
        """Returns names of the records that the workers are reading."""
        return [record_name(self.records[i]) for i in self._reading.tolist() if i >= 0]

    def _candidates(self, sample: Sample) -> list[int]:
        """The index of the sample's record, then those of its replacements, always the same."""
        rng = np.random.default_rng([self.seed, sample.position])
        others = rng.integers(len(self.records), size=_REPLACEMENTS).tolist()
        return [sample.index, *(i for i in others if i != sample.index)]

    def _worker(self) -> int:
        info = get_worker_info()
        return info.id if info else 0


def _words(name: str) -> list[int]:
    """A key of random numbers from a name: 128 bits of its hash."""
    digest = hashlib.sha256(name.encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]


class EvaluationDataset(Dataset):
    """Maps each record; an unreadable image gives only its report."""

    def __init__(
        self, records: Sequence[dict[str, Any]], mapper: Callable[[dict], dict[str, Any]]
    ) -> None:
        self.records, self.mapper = records, mapper

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            return self.mapper(self.records[index])
        except BAD_IMAGE_ERRORS as error:
            reason = f"{type(error).__name__}: {error}"
            return {BAD_IMAGES_KEY: [(record_name(self.records[index]), reason)]}


class CountsBadImages:
    """Logs each unreadable image once, and stops the run if there are too many.

    Attributes:
        bad_images: name -> reason.
    """

    def __init__(self, max_bad_share: float) -> None:
        self.max_bad_share = max_bad_share
        self.bad_images: dict[str, str] = {}
        self._read = self._bad = 0

    def count(self, batch: list[dict[str, Any]], remedy: str) -> None:
        """Counts the images of a batch and removes the reports of bad images from it.

        Raises:
            OSError: the share of bad images is above the limit.
        """
        self._read += len(batch)
        for item in batch:
            for name, reason in item.pop(BAD_IMAGES_KEY, ()):
                self._bad += 1
                if name not in self.bad_images:
                    logger.error("cannot read %s (%s): %s", name, reason, remedy)
                self.bad_images[name] = reason
        if self._bad > max(self.max_bad_share * self._read, _GRACE):
            name, reason = list(self.bad_images.items())[-1]
            raise OSError(
                f"{self._bad} of {self._read} images could not be read, more than "
                f"DATALOADER.MAX_BAD_IMAGE_SHARE = {self.max_bad_share} allows. The last one: "
                f"{name} ({reason})"
            )
