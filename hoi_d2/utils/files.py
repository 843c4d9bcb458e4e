"""Writes files that are complete or absent, even if the process is killed."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

TEMPORARY_SUFFIX = ".tmp"


def write_atomically(
    path: str | Path, write: Callable[[IO[bytes]], Any], *, shared: bool = False
) -> None:
    """Writes a file under a temporary name, syncs it to disk, and renames it.

    Args:
        path: the path of the finished file; an existing file is replaced.
        write: a function that is called with the open file.
        shared: several processes may write this file at the same time; the last one wins.
    """
    path = Path(path)
    own = f".{secrets.token_hex(4)}" if shared else ""
    temporary = path.with_name(f"{path.name}{own}{TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def write_json(path: str | Path, content: Any) -> None:
    """Writes `content` as JSON, completely or not at all."""
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def sha256_of(path: str | os.PathLike) -> str:
    """SHA-256 of a file in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_root() -> Path:
    """`$HOI_D2_CACHE`, or `~/.cache/hoi_d2`: what this package keeps between runs."""
    return Path(os.environ.get("HOI_D2_CACHE") or Path.home() / ".cache" / "hoi_d2")


def _sync_directory(directory: Path) -> None:
    """Makes the rename durable; only then may an older checkpoint be deleted."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
