"""What a run needs of the system, looked at before it starts."""

from __future__ import annotations

import os
import shutil

from hoi_d2.utils.user_errors import UserError

LEAST_FILES = 256
"""Open files that a run with its loader workers may need at a time."""
LEAST_SHARED = 64 * 2**20
"""Bytes of shared memory, for the batches that the workers hand over."""
SHARED_MEMORY = "/dev/shm"


class ResourceError(UserError):
    """The system gives the run too little of something; says how to get more."""


def check_resources(num_workers: int) -> None:
    """Raises the limit of open files where that is allowed, and looks at shared memory.

    Args:
        num_workers: `DATALOADER.NUM_WORKERS`.

    Raises:
        ResourceError: too few open files are allowed, or shared memory is full.
    """
    _check_files()
    if not num_workers or not os.path.isdir(SHARED_MEMORY):
        return
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < LEAST_SHARED:
        raise ResourceError(
            f"{SHARED_MEMORY} has {free / 2**20:.0f} MB free, and the loader's workers need "
            f"{LEAST_SHARED / 2**20:.0f}: delete files there, start the container with a larger "
            "--shm-size, or set DATALOADER.NUM_WORKERS 0"
        )


def _check_files() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= LEAST_FILES:
        return
    most = LEAST_FILES if hard == resource.RLIM_INFINITY else min(hard, LEAST_FILES)
    if most < LEAST_FILES:
        raise ResourceError(
            f"at most {hard} files may be open at a time, and a run needs {LEAST_FILES}: "
            f"ulimit -n {LEAST_FILES} or more, in a new shell"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
