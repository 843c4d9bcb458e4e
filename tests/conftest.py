"""Shared by all tests: small threads, no downloads, and where the real data are."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from detectron2.utils.logger import setup_logger

import hoi_d2
from hoi_d2 import model_zoo
from hoi_d2.checkpoint import download_record, page_files

hoi_d2.register()

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real annotations and images; tests that need it are skipped without."""
    folder = os.environ.get("HOI_D2_TEST_DATA")
    if not folder:
        pytest.skip("HOI_D2_TEST_DATA is not set")
    return Path(folder)


@pytest.fixture(autouse=True)
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The records of downloads of one test, the files that were downloaded by hand, and copies."""
    for module in (download_record, page_files, model_zoo):
        monkeypatch.setattr(module, "cache_root", lambda: tmp_path / "hoi_d2_cache")
    return tmp_path / "hoi_d2_cache"


@pytest.fixture(autouse=True)
def log_handlers() -> Iterator[None]:
    """Takes away the handlers that a test has added: they write to its captured output."""
    loggers = [logging.getLogger(name) for name in ("", "hoi_d2", "detectron2", "fvcore")]
    before = [list(logger.handlers) for logger in loggers]
    yield
    for logger, handlers in zip(loggers, before):
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
    setup_logger.cache_clear()  # else the next test that wants handlers gets none


@pytest.fixture(autouse=True, scope="session")
def tiny_world() -> None:
    """Registers the tiny datasets."""
    from tests import tiny_world

    tiny_world.register()
