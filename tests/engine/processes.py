"""Processes that start clean and at once: forked from a server that has imported everything.

What a test before has left in the test process (registered datasets, patched tables, settings of
torch) does not reach them, and they need not import torch and transformers again.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from typing import Any

import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

_PRELOADED = ["hoi_d2", "hoi_d2.engine.trainer", "hoi_d2.visualization", "tests.tiny_world"]


def forkserver() -> ForkServerContext:
    """The context that starts them; the server itself starts with its first process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def run_alone(function: Callable[..., Any], *args: Any) -> int:
    """Calls an importable function in one process; returns its exit status."""
    process = forkserver().Process(target=_on_one_thread, args=(function, *args))
    process.start()
    process.join()
    return process.exitcode


def run_by_torchrun(number: int, function: Callable[..., Any], *args: Any) -> None:
    """What `torchrun --standalone --nproc-per-node NUMBER` does, for an importable function.

    Raises:
        torch.distributed.elastic.multiprocessing.errors.ChildFailedError: one of them failed.
    """
    forkserver()
    with tempfile.TemporaryDirectory() as directory:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=number,
            run_id="test",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.1,
            start_method="forkserver",
            logs_specs=DefaultLogsSpecs(log_dir=directory),
        )
        elastic_launch(config, _on_one_thread)(function, *args)


def _on_one_thread(function: Callable[..., Any], *args: Any) -> None:
    torch.set_num_threads(1)
    function(*args)
