"""What is looked at before a run starts: its folder, open files, shared memory."""

import argparse
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import pytest
from detectron2.utils.logger import setup_logger

from hoi_d2.commands.main import main as hoi_d2_main
from hoi_d2.engine import resources
from hoi_d2.engine.logs import LOG_NAME, start_logs
from hoi_d2.engine.resources import LEAST_FILES, ResourceError, check_resources
from hoi_d2.utils.locks import LOCK_NAME, LockedFolderError, lock_folder
from hoi_d2.utils.user_errors import EXIT_CODE, IN_A_STEP, reported_mistakes
from tests import tiny_world as tiny
from tests.engine.processes import run_alone

HOLD = "import sys, time; from hoi_d2.utils.locks import lock_folder; lock_folder(sys.argv[1]); "
HOLD += "print('held', flush=True); time.sleep(60)"


def test_a_folder_has_one_run(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LockedFolderError, match=f"in use by process {other.pid} on "):
            lock_folder(tmp_path)
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
        other.stdout.close()
    assert (tmp_path / LOCK_NAME).exists(), "as a killed run leaves it"
    lock_folder(tmp_path)
    lock_folder(tmp_path)  # its own


def test_a_folder_that_was_deleted_is_locked_again(tmp_path):
    for _ in range(2):
        (tmp_path / "run").mkdir()
        lock_folder(tmp_path / "run")
        assert (tmp_path / "run" / LOCK_NAME).exists()
        shutil.rmtree(tmp_path / "run")


@pytest.mark.parametrize(
    "limits, becomes",
    [((32, 32), None), ((32, 255), None), ((32, 4096), LEAST_FILES), ((1024, 4096), 0)],
)
def test_open_files(monkeypatch, limits, becomes):
    given = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda kind, values: given.append(values))
    if becomes is None:
        with pytest.raises(ResourceError, match=f"at most {limits[1]} files .* ulimit -n"):
            check_resources(0)
    else:
        check_resources(0)
        assert given == ([(becomes, limits[1])] if becomes else [])


def few_files(folder: str) -> None:
    """A training where 32 files may be open; what it says goes to a file."""
    said = os.open(f"{folder}/said", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 1)
    os.dup2(said, 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    hoi_d2_main(["train", "--config-file", "configs/toy/rmlr.yaml", "OUTPUT_DIR", f"{folder}/run"])


def test_a_training_with_few_files_ends_with_one_line(tmp_path):
    assert run_alone(few_files, str(tmp_path)) == EXIT_CODE
    (line,) = (tmp_path / "said").read_text().splitlines()
    assert line.startswith("error: at most 32 files may be open at a time")
    assert not (tmp_path / "run").exists()


def forget_logs() -> None:
    """Loggers as they are before a run."""
    setup_logger.cache_clear()
    for name in ("fvcore", "detectron2", "hoi_d2"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def full_log(folder: str) -> logging.Logger:
    """The log of a run whose disk is full."""
    forget_logs()  # of the tests before this one
    start_logs(tiny.tiny_cfg(folder), argparse.Namespace())
    found = logging.getLogger("hoi_d2")
    for handler in found.handlers:
        if handler.stream is not sys.stdout:
            handler.setStream(open("/dev/full", "w"))
    return found


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_of_the_log_ends_the_run(tmp_path, capfd):
    try:
        log = full_log(str(tmp_path))
        with pytest.raises(SystemExit, match=str(EXIT_CODE)):
            with reported_mistakes(IN_A_STEP, str(tmp_path / LOG_NAME)):
                log.info("a line")
        log.info("and on the console alone")
    finally:
        forget_logs()
    said = capfd.readouterr()
    assert said.out.count("a line") == 1 and "and on the console alone" in said.out
    (line,) = said.err.splitlines()
    assert f"{tmp_path}/log.txt cannot be written (No space left on device)" in line
    assert "--resume" in line


@pytest.mark.parametrize("free, workers, fits", [(0, 0, True), (2**20, 2, False), (2**30, 2, True)])
def test_shared_memory(monkeypatch, tmp_path, free, workers, fits):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(resources, "SHARED_MEMORY", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**30, 0, free))
    if fits:
        return check_resources(workers)
    with pytest.raises(ResourceError, match=r"has 1 MB free.*--shm-size"):
        check_resources(workers)
