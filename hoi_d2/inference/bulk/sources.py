"""Where the images lie: files, folders, lists of files, tar archives."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hoi_d2.data.find_images import find_images, why_left_out
from hoi_d2.data.images import image_error, read_image, read_image_bytes
from hoi_d2.utils.user_errors import UserError

_COMPRESSED = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")


class InputError(UserError, ValueError):
    """An input cannot be listed, or names no image."""


@dataclass(frozen=True)
class Entry:
    """One image of the inputs.

    Args:
        file: its name; of an image in an archive, archive/name.
        archive: the tar file that holds it, "" = a file of its own.
        offset, size: bytes of the image in the archive.
    """

    file: str
    archive: str = ""
    offset: int = 0
    size: int = 0


def list_images(inputs: Sequence[str], left_out: Counter[str]) -> Iterator[Entry]:
    """The images of all inputs, in order; no image is opened.

    Args:
        inputs: images, folders and globs as `find_images` takes them, text files (.txt) with a
            path on each line, tar archives (.tar).
        left_out: counts the files that are left out, by reason.

    Raises:
        FileNotFoundError: an input does not exist, or a folder or glob names nothing.
        InputError: a list or archive cannot be read or names nothing.
    """
    for name in inputs:
        if name.lower().endswith(_COMPRESSED):
            raise InputError(
                f"--input {name}: images cannot be picked from a compressed archive; unpack it, or "
                "decompress it to a .tar"
            )
        if name.lower().endswith(".tar"):
            found = _in_archive(name, left_out)
        elif name.lower().endswith(".txt"):
            found = _in_list(name)
        else:
            found = (Entry(str(path)) for path in find_images([name], left_out))
        yield from _some(name, found)


def _some(name: str, found: Iterator[Entry]) -> Iterator[Entry]:
    first = next(found, None)
    if first is None:
        raise InputError(f"--input {name}: no images in it")
    yield first
    yield from found


def _in_list(name: str) -> Iterator[Entry]:
    with open(name, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            if file := line.rstrip("\r\n"):
                yield Entry(file)


def _in_archive(name: str, left_out: Counter[str]) -> Iterator[Entry]:
    try:
        with tarfile.open(name, "r:") as archive:
            for member in archive:
                # Else it keeps what it has seen, and outgrows the memory.
                archive.members = []  # type: ignore[attr-defined]
                if not member.isfile():
                    continue
                why = why_left_out(member.name)
                if why is None:
                    file = f"{name}/{member.name}"
                    yield Entry(file, name, member.offset_data, member.size)
                else:
                    left_out[why] += 1
    except tarfile.TarError as error:
        raise InputError(f"--input {name}: not a complete tar archive ({error})") from error


def read_entry(entry: Entry) -> np.ndarray:
    """(H, W, 3) uint8 RGB.

    Raises:
        ImageFileError: the image cannot be read; its `problems` have the reason.
    """
    if not entry.archive:
        return read_image(entry.file)
    try:
        with Path(entry.archive).open("rb") as archive:
            archive.seek(entry.offset)
            content = archive.read(entry.size)
    except OSError as error:
        raise image_error(entry.file, "file", error.strerror, "an image") from error
    return read_image_bytes(content, entry.file)
