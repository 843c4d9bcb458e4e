"""Processes: two equal one, however they are started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hoi_d2.engine.launch import launch
from tests.engine.test_trainer import log_rows, metrics

ROOT = Path(__file__).parents[2]
SCRIPT = "tests/engine/tiny_train_net.py"
OPTIONS = (
    *("SOLVER.LOG_PERIOD", 1, "TEST.EVAL_PERIOD", 6, "DATALOADER.ASPECT_RATIO_GROUPING", True),
    *("SOLVER.EMA.ENABLED", True, "SOLVER.IMS_PER_BATCH", 6),
)


def run(*command: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"):
        environment.pop(name, None)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def starters(output_dir: Path) -> dict[str, list[str]]:
    """Commands that start the same run in two processes."""
    overrides = [str(x) for x in (*OPTIONS, "OUTPUT_DIR", output_dir)]
    module = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--standalone",
    ]
    return {
        "torchrun": [*module, SCRIPT, *overrides],
        "num-gpus": [sys.executable, SCRIPT, "--num-gpus", "2", "--dist-url", "auto", *overrides],
    }


@pytest.mark.parametrize("how", ["torchrun", pytest.param("num-gpus", marks=pytest.mark.slow)])
@pytest.mark.skipif(torch.cuda.is_available(), reason="counts CPU processes")
def test_two_processes_equal_one(tmp_path, how):
    """21 training and 7 test images: neither divides by two."""
    result = run(*starters(tmp_path / "two")[how])
    assert result.returncode == 0, result.stderr[-3000:]
    one = tmp_path / "one"
    single = run(sys.executable, SCRIPT, *[str(x) for x in (*OPTIONS, "OUTPUT_DIR", one)])
    assert single.returncode == 0, single.stderr[-3000:]
    assert metrics(tmp_path / "two") == pytest.approx(metrics(one), rel=1e-5)
    for row, expected in zip(log_rows(tmp_path / "two"), log_rows(one), strict=True):
        for name in ("total_loss", "loss_class", "loss_size", "grad_norm", "lr"):
            assert row[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-7), name


@pytest.mark.parametrize("arguments", [{}, {"num_gpus": 0}, {"num_machines": 1, "dist_url": "x"}])
def test_one_process_is_this_one(monkeypatch, arguments):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert launch(os.getpid, **arguments) == os.getpid()


def test_several_machines_need_an_address(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(ValueError, match="tcp://HOST:PORT"):
        launch(os.getpid, num_machines=2, dist_url="auto")
