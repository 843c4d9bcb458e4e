"""Errors that the user can correct: one line `error: ...` and exit code 2 instead of a traceback.

Set HOI_D2_TRACEBACK=1 to see the traceback as well.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)
EXIT_CODE = 2
"""Exit code of a process that ended with an error that its user can correct."""
TRACEBACK = "HOI_D2_TRACEBACK"


class UserError(Exception):
    """An error that the user can correct; its message names the file or value and the remedy."""


IN_A_STEP = (UserError, OSError, FloatingPointError, MemoryError)
"""Errors of a running training that are the user's to correct: a full disk, unreadable images."""
IN_SETUP = (*IN_A_STEP, ImportError, KeyError, ValueError)
"""While a run is set up, names, paths, numbers and files of the user are looked up as well."""


@contextmanager
def reported_mistakes(kinds: tuple[type[BaseException], ...], where: str = "") -> Iterator[None]:
    """Turns an error of these kinds into one line and exit code 2; other errors pass.

    Running out of GPU memory always counts.

    Args:
        kinds: `IN_SETUP` or `IN_A_STEP`.
        where: the file that holds the traceback, named in the line; "" = none.

    Raises:
        SystemExit: instead of the error.
    """
    try:
        yield
    except Exception as error:
        logger.debug("the run ended with an error", exc_info=True)
        if not (isinstance(error, kinds) or is_out_of_memory(error)):
            raise
        report(error, where)
        raise SystemExit(EXIT_CODE) from error


def report(error: BaseException, where: str = "") -> None:
    """Prints the line; with HOI_D2_TRACEBACK=1 the traceback before it."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    more = f" (traceback: {where})" if where else ""
    full = _full_disk(error, where)
    print(f"error{_rank()}: {printable(message(error))}{full}{more}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Text for a terminal: control characters and lone surrogates become escapes, `\\x1b`.

    Names in a file may hold anything, and a terminal obeys some of it. Line ends stay.
    """
    return "".join(c if c == "\n" or c.isprintable() else ascii(c)[1:-1] for c in text)


def message(error: BaseException) -> str:
    """The error in words."""
    if is_out_of_memory(error):
        return (
            f"{str(error).splitlines()[0]} A smaller SOLVER.IMS_PER_BATCH or INPUT.MAX_SIZE_TRAIN, "
            "a larger SOLVER.ACCUMULATE, or SOLVER.AMP.ENABLED True need less memory"
        )
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error) or type(error).__name__


def _full_disk(error: BaseException, where: str) -> str:
    """What to do about a full disk, where the error itself does not name a file of the run."""
    if not isinstance(error, OSError) or isinstance(error, UserError):
        return ""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not where:
        return ""
    folder = os.path.dirname(where) or "."
    return f": the disk of {folder} is full; free some space, then use --resume to continue"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch ran out of GPU memory; torch is not imported for the answer."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def _rank() -> str:
    """` (process 1 of 4)` where there are several processes."""
    comm = sys.modules.get("detectron2.utils.comm")
    if comm is None or comm.get_world_size() == 1:
        return ""
    return f" (process {comm.get_rank()} of {comm.get_world_size()})"
