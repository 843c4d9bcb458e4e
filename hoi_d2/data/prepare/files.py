"""Downloads and archive extraction that can be resumed, and checksums."""

from __future__ import annotations

import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from hoi_d2.utils.files import sha256_of
from hoi_d2.utils.user_errors import UserError

_BLOCK = 1 << 20


class PreparationError(UserError, RuntimeError):
    """A preparation step failed; the message says what to do."""


def check_sha256(file: Path, expected: str) -> None:
    """Raises PreparationError if a file has another checksum."""
    found = sha256_of(file)
    if found != expected.lower():
        raise PreparationError(
            f"{file}: SHA-256 {found}, expected {expected}. The file is damaged or another "
            "version: remove it and download it again"
        )


def download(url: str, target: Path, *, sha256: str | None = None, attempts: int = 5) -> Path:
    """Downloads a file; an interrupted download continues where it stopped.

    Args:
        url: http or https.
        target: the file to write; an incomplete download is in `<target>.part`.
        sha256: the expected checksum, also of a file that is already there; None = not checked.
        attempts: how often to connect before giving up.

    Returns:
        `target`.

    Raises:
        PreparationError: the server refuses, the connection breaks too often, or the checksum
            differs.
    """
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        for attempt in range(1, attempts + 1):
            try:
                _fetch(url, part)
                break
            except (urllib.error.URLError, OSError) as error:
                if attempt == attempts or _is_final(error):
                    raise PreparationError(
                        f"{url}: {error}. Run the command again to continue, or put the file at "
                        f"{target} yourself"
                    ) from error
        if sha256:
            check_sha256(part, sha256)
        os.replace(part, target)
    elif sha256:
        check_sha256(target, sha256)
    return target


def _is_final(error: Exception) -> bool:
    """Returns whether another attempt is useless because the server refused."""
    return isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, 410)


def _fetch(url: str, part: Path) -> None:
    """Appends the missing part of a file, or all of it if the server cannot resume."""
    start = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is missing
            return
        raise
    with response:
        resumed = response.status == 206
        length = response.headers.get("Content-Length")
        total = None if length is None else int(length) + (start if resumed else 0)
        with (
            open(part, "ab" if resumed else "wb") as stream,
            _bar(total, part.name.removesuffix(".part"), start if resumed else 0) as bar,
        ):
            while block := response.read(_BLOCK):
                stream.write(block)
                bar.update(len(block))
    if total is not None and part.stat().st_size < total:
        raise OSError(f"the connection broke at {part.stat().st_size} of {total} bytes")


def _bar(total: int | None, name: str, initial: int = 0) -> tqdm:
    return tqdm(
        total=total,
        initial=initial,
        unit="B",
        unit_scale=True,
        desc=name,
        disable=None,
        leave=False,
    )


def extract(archive: Path, target: Path, *, keep: Callable[[str], bool] = lambda name: True) -> int:
    """Extracts an archive; files that exist with the right size are not written again.

    Args:
        archive: .zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz.
        target: the folder to write to.
        keep: decides by its name whether a member is extracted.

    Returns:
        The number of files written.

    Raises:
        PreparationError: the archive is damaged or of another kind, or a member would be written
            outside the folder.
    """
    if not archive.is_file():
        raise PreparationError(f"no such archive: {archive}")
    try:
        if zipfile.is_zipfile(archive):
            return _extract_zip(archive, target, keep)
        if tarfile.is_tarfile(archive):
            return _extract_tar(archive, target, keep)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise PreparationError(
            f"{archive}: {error}. Probably an incomplete download: fetch it again"
        ) from error
    raise PreparationError(f"{archive} is neither a zip nor a tar archive")


def _extract_zip(archive: Path, target: Path, keep: Callable[[str], bool]) -> int:
    written = 0
    with zipfile.ZipFile(archive) as content:
        members = [m for m in content.infolist() if not m.is_dir() and keep(m.filename)]
        for member in tqdm(members, desc=archive.name, disable=None, leave=False):
            with content.open(member) as stream:
                written += _write(stream, target, member.filename, member.file_size)
    return written


def _extract_tar(archive: Path, target: Path, keep: Callable[[str], bool]) -> int:
    written = 0
    with tarfile.open(archive) as content:
        for member in tqdm(content, desc=archive.name, disable=None, leave=False):
            if member.isfile() and keep(member.name):
                written += _write(content.extractfile(member), target, member.name, member.size)
    return written


def _write(stream: IO[bytes] | None, target: Path, name: str, size: int) -> bool:
    """Writes one member to a temporary name, then renames it."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or stream is None:
        raise PreparationError(f"the archive has a member {name!r} outside the folder")
    file = target.joinpath(*path.parts)
    if file.is_file() and file.stat().st_size == size:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    with open(part, "wb") as output:
        shutil.copyfileobj(stream, output, _BLOCK)
    os.replace(part, file)
    return True


def place(source: Path, folder: Path) -> Path:
    """Copies a file into a folder, unless a file of the same size is there already."""
    target = folder / source.name
    if not source.is_file():
        raise PreparationError(f"no such file: {source}")
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(source, part)
    os.replace(part, target)
    return target
