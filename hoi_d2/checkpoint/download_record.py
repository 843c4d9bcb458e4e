"""Which revision and which bytes of a downloaded model were used first.

`$HOI_D2_CACHE/downloads` (or `~/.cache/hoi_d2/downloads`) has one JSON file for each model of the
hub and each file that was downloaded by hand:
`{"source", "commit", "files": {name: {"sha256", "bytes"}}}`.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.utils.files import cache_root, sha256_of, write_json

logger = logging.getLogger(__name__)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ChangedFileError(WeightsError):
    """A downloaded file or revision is not the one that was used first."""


@dataclass
class DownloadRecord:
    """What is known of one source.

    Attributes:
        source: `HubModel` as text, or the name of a file.
        commit: the revision of the hub; "" = the source has none.
        sha256: name of each file that was used -> its hash.
    """

    source: str
    commit: str = ""
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The JSON file."""
        name = re.sub(r"[^\w.@-]", "--", self.source)
        return cache_root() / "downloads" / f"{name}.json"


def read_record(source: str) -> DownloadRecord | None:
    """The record of a source; None = it was never used.

    Raises:
        ChangedFileError: the record is damaged.
    """
    path = DownloadRecord(source).path
    try:
        content = json.loads(path.read_text())
        hashes = {name: entry["sha256"] for name, entry in content["files"].items()}
        if all(_SHA256.fullmatch(value) for value in hashes.values()):
            return DownloadRecord(source, str(content["commit"]), hashes)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise ChangedFileError(
        f"{path}, the record of the download {source}, is damaged: expected an object with source, "
        "commit, and files with a sha256 each. Remove it, and the next use records the files anew"
    )


def check_files(record: DownloadRecord, folder: Path, names: Iterable[str], remedy: str) -> None:
    """Checks files against a record; hashes that it does not have are added, and kept on disk.

    Args:
        record: of their source.
        folder: where the files are.
        names: of the files.
        remedy: what to do about a damaged file, as a sentence.

    Raises:
        ChangedFileError: a file has another hash than the record, or than its name in the hub's
            cache says.
    """
    for name in names:
        path = folder / name
        found, expected = _hash_of(path), record.sha256.get(name) or _hash_in_cache(path)
        if expected and found != expected:
            raise ChangedFileError(
                f"{path} of {record.source} is damaged or another file: expected SHA-256 "
                f"{expected}, found {found}. {remedy}"
            )
        record.sha256[name] = found
    if record != read_record(record.source):
        _write(record, folder)


def _write(record: DownloadRecord, folder: Path) -> None:
    files = {
        name: {"sha256": sha256, "bytes": (folder / name).stat().st_size}
        for name, sha256 in sorted(record.sha256.items())
        if (folder / name).is_file()
    }
    content = {"source": record.source, "commit": record.commit, "files": files}
    try:
        record.path.parent.mkdir(parents=True, exist_ok=True)
        own = record.path.with_suffix(f".{os.getpid()}.json")  # processes do not collide
        write_json(own, content)
        os.replace(own, record.path)
    except OSError as error:  # a home that cannot be written: nothing is checked there
        logger.warning("the download of %s could not be recorded: %s", record.source, error)
        return
    commit = f" of revision {record.commit}" if record.commit else ""
    logger.info("recorded %d files%s in %s", len(files), commit, record.path)


def _hash_of(path: Path) -> str:
    status = path.stat()
    return _hash_of_unchanged(str(path.resolve()), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)  # a model is looked up several times while it is built
def _hash_of_unchanged(path: str, size: int, modified: int) -> str:
    return sha256_of(path)


def _hash_in_cache(path: Path) -> str:
    """The hub's cache names the content of a large file by its hash; "" = not this one."""
    name = path.resolve().name
    return name if _SHA256.fullmatch(name) else ""
