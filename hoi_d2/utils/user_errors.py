"""What a user can mend is said in a line; the traceback goes to log.txt, for whoever wants it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from detectron2.utils import comm

from hoi_d2.checkpoint.errors import CheckpointError, WeightsError
from hoi_d2.config.load import ConfigError

logger = logging.getLogger(__name__)
EXIT_CODE = 2
"""Of a process that ended for a reason that its user can mend."""

IN_A_STEP = (
    OSError,  # a full disk, too many unreadable images
    FloatingPointError,
    ConfigError,
    CheckpointError,
    WeightsError,
    torch.OutOfMemoryError,
)
# While a run is set up, names, paths, numbers and files of the user are looked up and put together.
IN_SETUP = (*IN_A_STEP, ImportError, KeyError, ValueError)


@contextmanager
def reported_mistakes(kinds: tuple[type[BaseException], ...], where: str = "") -> Iterator[None]:
    """Inside, an error of these kinds becomes a line and exit status 2; others pass.

    Args:
        kinds: `IN_SETUP` or `IN_A_STEP`.
        where: what holds the traceback, for the line; "" = nothing does.

    Raises:
        SystemExit: in place of the error.
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
    """Prints the line, and logs the traceback below what the console shows."""
    logger.debug("the run ended with an error", exc_info=error)
    several = comm.get_world_size() > 1
    rank = f" (process {comm.get_rank()} of {comm.get_world_size()})" if several else ""
    more = f" (traceback: {where})" if where else ""
    print(f"error{rank}: {message(error)}{more}", file=sys.stderr, flush=True)


def message(error: BaseException) -> str:
    """The error in words."""
    if isinstance(error, torch.OutOfMemoryError):
        return (
            f"{str(error).splitlines()[0]} A smaller SOLVER.IMS_PER_BATCH or INPUT.MAX_SIZE_TRAIN, "
            "a larger SOLVER.ACCUMULATE, or SOLVER.AMP.ENABLED True need less memory"
        )
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error) or type(error).__name__
