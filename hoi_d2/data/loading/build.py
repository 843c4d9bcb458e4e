"""Builds the training and test loaders of a config."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import cv2
import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    DatasetFromList,
    DatasetMapper,
    MetadataCatalog,
)
from detectron2.data.samplers import InferenceSampler, RepeatFactorTrainingSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader

from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.data.loading.dataset_report import report_dataset
from hoi_d2.data.loading.samples import (
    CountsBadImages,
    EvaluationDataset,
    SampleDataset,
    record_name,
)
from hoi_d2.data.loading.stream import BatchStream, aspect_ratio_groups
from hoi_d2.data.samplers import label_table, oversampling_repeats
from hoi_d2.utils.signals import STOP_SIGNALS

logger = logging.getLogger(__name__)


class TrainLoader(CountsBadImages):
    """The endless micro-batches of one process; images that cannot be read are replaced.

    Attributes:
        stream: the order of the samples; `stream.first_batch` is set to resume.

    Args:
        dataset: the dataset, which maps a sample to a model input.
        stream: the micro-batches, as lists of samples.
        num_workers: the number of processes that read images; 0 = this process reads them.
        max_bad_share: the largest share of bad images; the run stops if there are more.
    """

    def __init__(
        self,
        dataset: SampleDataset,
        stream: BatchStream,
        *,
        num_workers: int,
        max_bad_share: float,
    ) -> None:
        super().__init__(max_bad_share)
        self.dataset, self.stream, self.num_workers = dataset, stream, num_workers
        self._micro_batches = 0  # yielded since `stream.first_batch`

    def state_dict(self) -> dict[str, Any]:
        """Returns the position in the stream; call this between two steps."""
        done = self._micro_batches // self.stream.micro_batches
        return self.stream.description() | {"next_batch": self.stream.first_batch + done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from the position of `state`; call this before the first batch.

        With another dataset or batch size the same stream cannot continue. Then about as many
        images are skipped as were seen, with a warning.
        """
        assert self._micro_batches == 0
        self.stream.seed = self.dataset.seed = state["seed"]
        self.stream.first_batch = state["next_batch"]
        if (now := self.stream.description() | {"next_batch": state["next_batch"]}) != state:
            seen = state["next_batch"] * state["batch_size"]
            self.stream.first_batch = seen // self.stream.batch_size
            logger.warning("resumed on other data: %s then, %s now", state, now)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        """A generator: workers start at the first `next`, after a resumed state is in place."""
        loader = DataLoader(
            self.dataset,
            batch_sampler=self.stream,
            num_workers=self.num_workers,
            collate_fn=list,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=prepare_worker,
            # A separate one, so that starting workers does not advance torch's default generator.
            generator=torch.Generator(),
        )
        for batch in batches_of(loader):
            self.count(batch, "replaced by another image")
            self._micro_batches += 1
            yield batch

    @contextmanager
    def explained_deaths(self) -> Iterator[None]:
        """Adds the images that the workers were reading to the error of a worker that died.

        It encloses the whole step, because torch raises the error wherever the main process is at
        the time. If the main process is receiving a batch, a connection error comes first.
        """
        try:
            yield
        except (RuntimeError, ConnectionError, EOFError) as error:
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            if not isinstance(error, RuntimeError):
                with suppress(RuntimeError):  # torch's own error, which comes soon
                    time.sleep(1)
            reading = ", ".join(self.dataset.being_read()) or "nothing"
            raise RuntimeError(
                f"a DataLoader worker died ({error!r}). The workers were reading: {reading}"
            ) from error


class TestLoader(CountsBadImages):
    """Every image of a dataset once, in batches of TEST.IMS_PER_BATCH, each in one process.

    An image that cannot be read is skipped: the evaluator, which has the ground truth of the whole
    dataset, counts its objects as not found.

    Args:
        loader: over an `EvaluationDataset`.
        max_bad_share: see `TrainLoader`.
    """

    __test__ = False  # tells pytest that this is not a test case

    def __init__(self, loader: DataLoader, *, max_bad_share: float) -> None:
        super().__init__(max_bad_share)
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        for batch in self.loader:
            self.count(batch, "skipped; its objects count as not found")
            readable = [item for item in batch if item]
            if readable:
                yield readable


def load_records(names: tuple[str, ...], *, filter_empty: bool = False) -> list[dict[str, Any]]:
    """Returns the dataset dicts of several datasets, concatenated.

    This replaces detectron2's `get_detection_dataset_dicts`, whose class histogram needs
    numpy < 1.24, and which drops images without annotations by default.

    Raises:
        ValueError: no dataset is named, or one is empty.
    """
    if not names:
        raise ValueError("no dataset: set DATASETS.TRAIN / DATASETS.TEST")
    records: list[dict[str, Any]] = []
    for name in names:
        part = DatasetCatalog.get(name)
        if not part:
            raise ValueError(f"dataset {name} is empty")
        logger.info("%s: %d images", name, len(part))
        records += part
    if not filter_empty:
        return records
    kept = [record for record in records if record["annotations"]]
    if not kept:
        raise ValueError(f"no image of {', '.join(names)} has annotations")
    if len(kept) < len(records):
        empty = next(record for record in records if not record["annotations"])
        logger.warning(
            "DATALOADER.FILTER_EMPTY_ANNOTATIONS: %d of %d images have no annotations and are "
            "skipped (the first: %s)",
            *(len(records) - len(kept), len(records), record_name(empty)),
        )
    return kept


def build_mapper(cfg: CfgNode, *, is_train: bool) -> Callable[[dict], dict]:
    """Returns the mapper that `cfg.DATALOADER.MAPPER` names.

    Raises:
        ValueError: there is no mapper of that name.
    """
    name = cfg.DATALOADER.MAPPER
    if name == "DatasetMapper":
        return DatasetMapper(cfg, is_train=is_train)
    module, _, class_name = name.rpartition(".")
    module = module or "hoi_d2.data.mappers"
    try:
        mapper = getattr(importlib.import_module(module), class_name, None)
    except ImportError as error:
        raise ValueError(f"DATALOADER.MAPPER {name}: {error}") from error
    if mapper is None:
        raise ValueError(f"DATALOADER.MAPPER {name}: {module} has no {class_name}")
    return mapper(cfg, is_train=is_train)


def build_train_loader(
    cfg: CfgNode, *, mapper: Callable[[dict], dict] | None = None, seed: int | None = None
) -> TrainLoader:
    """Returns the training loader of this process.

    Args:
        cfg: the whole config.
        mapper: a mapper to use instead of the config's.
        seed: the seed of the stream, the same on every process; None = `cfg.SEED`, or a random
            one shared by the processes.
    """
    records = load_records(cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)
    _report(cfg.DATASETS.TRAIN[0], records)
    if seed is None:
        seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    # Records of whole-image labels have no size, and their images become squares.
    grouped = cfg.DATALOADER.ASPECT_RATIO_GROUPING and all("width" in r for r in records)
    stream = BatchStream(
        size=len(records),
        batch_size=cfg.SOLVER.IMS_PER_BATCH,
        seed=seed,
        rank=comm.get_rank(),
        world_size=comm.get_world_size(),
        micro_batches=cfg.SOLVER.ACCUMULATE,
        groups=aspect_ratio_groups(records) if grouped else None,
        repeat_factors=_repeat_factors(cfg, records),
    )
    num_workers = usable_workers(cfg.DATALOADER.NUM_WORKERS)
    dataset = SampleDataset(
        DatasetFromList(records, copy=False),
        mapper=mapper or build_mapper(cfg, is_train=True),
        seed=seed,
        num_workers=num_workers,
        augmentations=cfg.MODEL.ENTITY_DETECTOR.CACHE_AUGMENTATIONS,
    )
    share = cfg.DATALOADER.MAX_BAD_IMAGE_SHARE
    return TrainLoader(dataset, stream, num_workers=num_workers, max_bad_share=share)


def build_test_loader(
    cfg: CfgNode, dataset_name: str, *, mapper: Callable[[dict], dict] | None = None
) -> TestLoader:
    """Returns the test loader of this process over its share of the dataset.

    The `build_detection_test_loader` of detectron2 0.6 has no batch size.
    """
    records = DatasetFromList(load_records((dataset_name,)), copy=False)
    loader = DataLoader(
        EvaluationDataset(records, mapper or build_mapper(cfg, is_train=False)),
        batch_size=cfg.TEST.IMS_PER_BATCH,
        sampler=InferenceSampler(len(records)),
        num_workers=usable_workers(cfg.DATALOADER.NUM_WORKERS),
        collate_fn=list,
    )
    return TestLoader(loader, max_bad_share=cfg.DATALOADER.MAX_BAD_IMAGE_SHARE)


def _report(dataset_name: str, records: list[dict[str, Any]]) -> None:
    metadata = MetadataCatalog.get(dataset_name)
    vocabulary = metadata.get("vocabulary")
    if vocabulary is not None and comm.is_main_process():
        evaluated = metadata.get("evaluated_hois")
        report_dataset(records, vocabulary=vocabulary, evaluated_hois=evaluated)


def batches_of(loader: DataLoader) -> Generator[Any, None, None]:
    """The batches; the workers end with the generator, or with the process.

    They ignore SIGTERM, which is how Python would end them when the process ends.
    """
    batches = iter(loader)
    end_workers = getattr(batches, "_shutdown_workers", lambda: None)
    atexit.register(end_workers)
    try:
        yield from batches
    finally:
        atexit.unregister(end_workers)
        end_workers()


def usable_workers(wanted: int) -> int:
    """Limits `wanted` to this process's share of the cores; batches do not depend on it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(wanted, max(1, (cores or 1) // comm.get_local_size()))


def prepare_worker(worker_id: int) -> None:
    cv2.setNumThreads(0)  # there are as many workers as cores
    # A scheduler signals all processes of a job; workers live on until the state is saved.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _repeat_factors(cfg: CfgNode, records: list[dict[str, Any]]) -> torch.Tensor | None:
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if name == "TrainingSampler":
        return None
    if name == "RepeatFactorTrainingSampler":
        return RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
            records, cfg.DATALOADER.REPEAT_THRESHOLD
        )
    if name == "OverSampling":
        node = cfg.DATALOADER.OVERSAMPLING
        labels = label_table(records, vocabulary_of(cfg))
        repeats = oversampling_repeats(labels, min_per_class=node.MIN_PER_CLASS, rule=node.RULE)
        logger.info(
            "over-sampling: an epoch is %d samples of %d images", repeats.sum(), len(records)
        )
        return torch.as_tensor(repeats, dtype=torch.float32)
    raise ValueError(
        f"DATALOADER.SAMPLER_TRAIN {name}: TrainingSampler, RepeatFactorTrainingSampler or "
        "OverSampling"
    )
