"""A folder that one process at a time may write."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from hoi_d2.utils.user_errors import UserError

LOCK_NAME = ".lock"
_held: dict[Path, int] = {}


class LockedFolderError(UserError):
    """Another process writes to the folder; the message names it."""


def lock_folder(folder: str | os.PathLike, name: str = "OUTPUT_DIR") -> None:
    """Reserves a folder for this process until it ends; does nothing if it is reserved already.

    The system holds the lock, not the file, and ends it with the process: the file of a run that
    was killed does not block. Children do not inherit it, so that a loader's workers, which live
    on for some seconds, do not either. Where the file system knows no locks, there is none.

    Args:
        folder: to be written; it exists.
        name: of the key or option that names it, for the message.

    Raises:
        LockedFolderError: another process has reserved the folder.
        OSError: the folder cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    path = Path(folder).resolve()
    file = path / LOCK_NAME
    if path in _held and _is_open(_held[path], file):
        return
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        holder = os.read(descriptor, 500)
        os.close(descriptor)
        raise LockedFolderError(_message(folder, holder, name)) from error
    except OSError:  # no locks on this file system
        os.close(descriptor)
        return
    _held[path] = descriptor
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())


def _is_open(descriptor: int, file: Path) -> bool:
    """Whether the lock is on the file that is there now: the folder may have been deleted."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except OSError:
        return False


def _message(folder: str | os.PathLike, holder: bytes, name: str) -> str:
    try:
        content = json.loads(holder)
        who = f"process {content['pid']} on {content['host']}"
    except (ValueError, KeyError, TypeError):  # it has not written that yet
        who = "another process"
    return (
        f"{name} {os.fspath(folder)} is in use by {who}: "
        f"wait for that run or end it, or take another {name}"
    )
