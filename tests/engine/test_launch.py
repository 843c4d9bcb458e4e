"""Processes: two equal one, however they are started."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.utils.env import seed_all_rng
from torch.multiprocessing.spawn import ProcessExitedException

import hoi_d2.engine.launch as launching
from hoi_d2.engine.launch import launch
from hoi_d2.engine.trainer import HOITrainer
from hoi_d2.utils.rng import preserved_rng
from tests import tiny_world as tiny
from tests import toy_few
from tests.engine.processes import run_alone, run_by_torchrun
from tests.engine.test_trainer import log_rows, metrics

ROOT = Path(__file__).parents[2]


def run(*command: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"):
        environment.pop(name, None)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def starters(module: str, output_dir: Path, *overrides: object) -> dict[str, list[str]]:
    """Commands that start the same run in two processes."""
    options = [str(x) for x in (*overrides, "OUTPUT_DIR", output_dir)]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return {
        "torchrun": [sys.executable, *torchrun, "-m", module, *options],
        "num-gpus": [sys.executable, "-m", module, "--num-gpus", "2", *options],
    }


def train_here(cfg: CfgNode) -> None:
    """The same run in one process, this one."""
    with preserved_rng():
        seed_all_rng(cfg.SEED)
        trainer = HOITrainer(cfg)
        trainer.resume_or_load(resume=False)
        trainer.train()


def assert_same_run(first: Path, second: Path) -> None:
    """Losses and metrics agree to 1e-5."""
    found, other = metrics(first), metrics(second)
    words = {name: value for name, value in found.items() if isinstance(value, str)}
    assert words == {name: other.pop(name) for name in words}  # which parts are random
    numbers = {name: value for name, value in found.items() if name not in words}
    assert numbers == pytest.approx(other, rel=1e-5, abs=1e-5)
    rows, expected = log_rows(first), log_rows(second)
    assert len(rows) == len(expected) > 3
    for row, other in zip(rows, expected):
        names = [name for name in other if "loss" in name or name in ("lr", "grad_norm")]
        assert {n: row[n] for n in names} == pytest.approx({n: other[n] for n in names}, rel=1e-5)


TOY_OPTIONS = ("SOLVER.IMS_PER_BATCH", "6", "SOLVER.CHECKPOINT_PERIOD", "0")


@pytest.fixture(scope="module")
def one_process(tmp_path_factory) -> Path:
    """RmLR on 13 images of the toy world, evaluated on 5."""
    directory = tmp_path_factory.mktemp("one")
    assert run_alone(toy_few.train, [*TOY_OPTIONS, "OUTPUT_DIR", str(directory)]) == 0
    return directory


@pytest.mark.skipif(torch.cuda.is_available(), reason="counts CPU processes")
@pytest.mark.parametrize("number", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_torchrun_equals_one_process_on_the_toy_world(one_process, tmp_path, number):
    """Neither 13 nor 5 divides by the number of processes."""
    run_by_torchrun(number, toy_few.train, [*TOY_OPTIONS, "OUTPUT_DIR", str(tmp_path)])
    assert_same_run(tmp_path, one_process)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["torchrun", "num-gpus"])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.skipif(torch.cuda.is_available(), reason="counts CPU processes")
def test_two_processes_equal_one(tmp_path, how, accumulate):
    options = (
        *("SOLVER.LOG_PERIOD", 1, "TEST.EVAL_PERIOD", 6, "DATALOADER.ASPECT_RATIO_GROUPING", True),
        *("SOLVER.EMA.ENABLED", True, "SOLVER.IMS_PER_BATCH", 8),
    )
    train_here(tiny.tiny_cfg(tmp_path / "one", *options))
    options = (*options, "SOLVER.ACCUMULATE", accumulate)
    result = run(*starters("tests.engine.tiny_train_net", tmp_path / "two", *options)[how])
    assert result.returncode == 0, result.stderr[-3000:]
    assert_same_run(tmp_path / "two", tmp_path / "one")


@pytest.mark.parametrize("arguments", [{}, {"num_gpus": 0}, {"num_machines": 1, "dist_url": "x"}])
def test_one_process_is_this_one(monkeypatch, arguments):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert launch(os.getpid, **arguments) == os.getpid()


def test_several_machines_need_an_address(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(ValueError, match="tcp://HOST:PORT"):
        launch(os.getpid, num_machines=2, dist_url="auto")


@pytest.mark.parametrize(
    ("gpus", "processes", "starter"),
    [(0, 2, "ours"), (1, 2, "ours"), (2, 2, "detectron2"), (8, 4, "detectron2")],
)
def test_detectron2_starts_processes_that_have_a_gpu_each(monkeypatch, gpus, processes, starter):
    started = {}
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(
        launching, "detectron2_launch", lambda *a, **k: started.update(detectron2=(a, k))
    )
    monkeypatch.setattr(
        launching.mp, "start_processes", lambda *a, **k: started.update(ours=(a, k))
    )
    arguments = {"num_gpus": processes, "num_machines": 2, "machine_rank": 1}
    launch(print, **arguments, dist_url="tcp://host:1", share_gpus=True, args=("a",))
    [(name, (given, keywords))] = started.items()
    assert name == starter
    if name == "detectron2":
        assert given == (launching._run_in_group, processes, 2, 1, "tcp://host:1")
        assert keywords["args"] == (print, ("a",))
    else:
        assert given[1] == (print, ("a",), processes, 1, 2 * processes, "tcp://host:1", gpus)


def test_a_stop_signal_reaches_the_processes():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    with launching._stoppable(1):
        os.kill(os.getpid(), signal.SIGUSR1)
        child.join(10)
    assert child.exitcode == -signal.SIGUSR1


def test_a_process_that_was_killed_is_named():
    killed = ProcessExitedException("", 1, 7, -9, signal_name="SIGKILL")
    with pytest.raises(launching.LaunchError, match="process 1 of 2 was ended by SIGKILL"):
        with launching._stoppable(2):
            raise killed
    with pytest.raises(SystemExit) as end, launching._stoppable(2):
        raise ProcessExitedException("", 1, 7, 2)
    assert end.value.code == 2
