"""Published files that are downloaded by hand: where they go, and whether they are the right ones.

They lie in `$HOI_D2_CACHE/weights` (or `~/.cache/hoi_d2/weights`) under the names of `PageFile`.
"""

from __future__ import annotations

from pathlib import Path

from hoi_d2.checkpoint.download_record import DownloadRecord, check_files, read_record
from hoi_d2.model_zoo.published import PUBLISHED, PageFile
from hoi_d2.utils.files import cache_root

_KNOWN = {p.page.name: p.page.sha256 for p in PUBLISHED.values() if p.page is not None}


def page_folder() -> Path:
    """The folder that the files are saved to."""
    return cache_root() / "weights"


def page_path(file: PageFile) -> Path:
    """Where a file is, or is to be."""
    return page_folder() / file.name


def check_page_file(path: Path) -> None:
    """Checks the hash of a file if it is one of these and was recorded.

    Raises:
        ChangedFileError: it is not the file that `hoi-d2 download` has recorded.
    """
    if path.name in _KNOWN and path.resolve().parent == page_folder().resolve():
        record = read_record(path.name)
        if record is not None:
            check_files(record, path.parent, [path.name], _remedy(record))


def record_page_file(path: Path) -> str:
    """Checks a file against its record, or against what is known of it, and records it.

    Returns:
        Its SHA-256.

    Raises:
        ChangedFileError: it is another file.
    """
    known = {path.name: _KNOWN[path.name]} if _KNOWN[path.name] else {}
    record = read_record(path.name) or DownloadRecord(path.name, sha256=known)
    check_files(record, path.parent, [path.name], _remedy(record))
    return record.sha256[path.name]


def _remedy(record: DownloadRecord) -> str:
    return (
        f"Download it again by hand; if its authors have replaced it, remove {record.path} and run "
        "hoi-d2 download once more, which records the new one"
    )
