"""What the first process finds, all processes have."""

from __future__ import annotations

import os
from pathlib import Path

import torch.distributed as dist

from hoi_d2.utils.processes import from_first_process
from tests.engine.processes import run_by_torchrun


def _fails() -> None:
    raise FileNotFoundError("no encoder")


def _in_each_process(folder: str) -> None:
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    lines = [f"{from_first_process(lambda: rank + 7)}"]
    try:
        from_first_process(_fails)
    except Exception as error:
        lines.append(f"{type(error).__name__}: {error}")
    Path(folder, str(rank)).write_text("\n".join(lines))
    dist.destroy_process_group()


def test_one_process_calls_the_function():
    assert from_first_process(os.getpid) == os.getpid()


def test_all_have_the_result_or_the_error_of_the_first(tmp_path):
    run_by_torchrun(2, _in_each_process, str(tmp_path))
    first, second = ((tmp_path / name).read_text().splitlines() for name in "01")
    assert first == ["7", "FileNotFoundError: no encoder"]
    assert second == ["7", "RuntimeError: the first process failed: FileNotFoundError: no encoder"]
