"""What is looked at before a run starts: its folder, open files, shared memory."""

import resource
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import pytest

from hoi_d2.engine import resources
from hoi_d2.engine.resources import LEAST_FILES, ResourceError, check_resources
from hoi_d2.utils.locks import LOCK_NAME, LockedFolderError, lock_folder

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


@pytest.mark.parametrize("free, workers, fits", [(0, 0, True), (2**20, 2, False), (2**30, 2, True)])
def test_shared_memory(monkeypatch, tmp_path, free, workers, fits):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(resources, "SHARED_MEMORY", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**30, 0, free))
    if fits:
        return check_resources(workers)
    with pytest.raises(ResourceError, match=r"has 1 MB free.*--shm-size"):
        check_resources(workers)
