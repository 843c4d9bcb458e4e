"""Prints errors that a user can fix as one line; the traceback goes to log.txt."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from detectron2.utils import comm

from hoi_d2.checkpoint.checkpointer import CheckpointError
from hoi_d2.checkpoint.weight_files import WeightsError
from hoi_d2.config.load import ConfigError

logger = logging.getLogger(__name__)
EXIT_CODE = 2
"""The exit status of a process that ended with an error that its user can fix."""

IN_A_STEP = (
    OSError,  # a full disk, too many unreadable images
    FloatingPointError,
    ConfigError,
    CheckpointError,
    WeightsError,
    torch.OutOfMemoryError,
)
# During setup, these errors come from names, paths, numbers and files that the user gave.
IN_SETUP = (*IN_A_STEP, ImportError, KeyError, ValueError)


@contextmanager
def reported_mistakes(kinds: tuple[type[BaseException], ...], where: str = "") -> Iterator[None]:
    """Inside, an error of these kinds is printed as one line, with exit status 2.

    Args:
        kinds: `IN_SETUP` or `IN_A_STEP`; other errors are raised as usual.
        where: the file with the traceback, for the message; "" = no file.

    Raises:
        SystemExit: instead of the error.
    """
    try:
        yield
    except kinds as error:
        report(error, where)
        raise SystemExit(EXIT_CODE) from error
    except Exception:
        logger.debug("the run ended with an error", exc_info=True)
        raise


def report(error: BaseException, where: str = "") -> None:
    """Prints the error as one line, and logs the traceback at level DEBUG, for the log file."""
    logger.debug("the run ended with an error", exc_info=error)
    several = comm.get_world_size() > 1
    rank = f" (process {comm.get_rank()} of {comm.get_world_size()})" if several else ""
    more = f" (traceback: {where})" if where else ""
    print(f"error{rank}: {message(error)}{more}", file=sys.stderr, flush=True)


def message(error: BaseException) -> str:
    """The message of an error for its user."""
    if isinstance(error, torch.OutOfMemoryError):
        return (
            f"{str(error).splitlines()[0]} A smaller SOLVER.IMS_PER_BATCH or INPUT.MAX_SIZE_TRAIN, "
            "a larger SOLVER.ACCUMULATE, or SOLVER.AMP.ENABLED True need less memory"
        )
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error) or type(error).__name__
