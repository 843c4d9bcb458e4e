"""Which images paths, folders and globs name; nothing is opened, and no file is looked at twice."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

PHOTOGRAPHS = frozenset(
    ".jpg .jpeg .jpe .jfif .jfi .jif .mpo .jp2 .j2k .jpx .jpf .avif .heic .heif .hif .webp".split()
)
"""Suffixes of lossy formats: their drawings are JPEGs, those of all other images PNGs."""
SUFFIXES = PHOTOGRAPHS | set(
    ".png .apng .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .gif .tga .ico".split()
)
"""What is read in a folder. HEIC is among them, so that its reader can say what to do about it."""
RAW = frozenset(".dng .cr2 .cr3 .nef .arw .raf .orf .rw2 .pef .srw .x3f".split())

LEFTOVER = "left by macOS or a camera"
OTHER = "no image by its name"
CAMERA_RAW = "raw camera data: save it as JPEG"
_LEFTOVER_SUFFIXES = frozenset(".thm .lrv .aae .xmp".split())
_LARGEST_ID = 2**53
"""Ids from here on are rounded by JSON readers that know floats alone."""


def find_images(inputs: Sequence[str], left_out: Counter[str] | None = None) -> list[Path]:
    """The images that paths, folders (not their subfolders) and globs (`**`: with subfolders)
    name, in order, each once.

    Args:
        inputs: paths, folders, globs.
        left_out: counts the files of folders and globs that are left out, by reason.

    Raises:
        FileNotFoundError: one of them names nothing.
    """
    counts: Counter[str] = Counter() if left_out is None else left_out
    found: dict[Path, None] = {}
    for name in inputs:
        before = counts.total()
        matches = list(_matches(name, counts))
        if not matches:
            raise FileNotFoundError(f"--input {name}: {_nothing_there(name, counts, before)}")
        found.update(dict.fromkeys(matches))
    return list(found)


def _matches(name: str, left_out: Counter[str]) -> Iterator[Path]:
    if os.path.isdir(name):
        names = iter([os.path.join(name, file) for file in _file_names(name)])
    elif os.path.lexists(name):  # named on its own: whatever it is, its reader has to say so
        yield Path(name)
        return
    else:
        names = _globbed(name)
    for file in names:
        why = why_left_out(file)
        if why is None:
            yield Path(file)
        else:
            left_out[why] += 1


def why_left_out(file: str) -> str | None:
    """The reason for which a file of a folder is no image, judged by its name; None = it is one."""
    base = os.path.basename(file)
    suffix = os.path.splitext(base)[1].lower()
    if base.startswith(".") or suffix in _LEFTOVER_SUFFIXES:
        return LEFTOVER
    if suffix in RAW:
        return CAMERA_RAW
    return None if suffix in SUFFIXES else OTHER


def _file_names(folder: str) -> list[str]:
    """Names in a folder, sorted; their kinds are read from the folder, not from each file."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.is_dir(follow_symlinks=False))


def _globbed(pattern: str) -> Iterator[str]:
    """Files that a pattern names, once: a link to a folder above itself repeats all of them."""
    seen: set[tuple[str, str]] = set()
    folders: dict[str, str] = {}
    for file in sorted(glob(pattern, recursive=True)):
        folder, name = os.path.split(file)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        if (folders[folder], name) in seen or os.path.isdir(file):
            continue
        seen.add((folders[folder], name))
        yield file


def _nothing_there(name: str, counts: Counter[str], before: int) -> str:
    if not os.path.isdir(name):
        return "no such image"
    others = counts.total() - before
    what = "no images in it" + (f", {others} other files" if others else "")
    with os.scandir(name) as entries:
        below = any(entry.is_dir() for entry in entries)
    return what + (f"; with its subfolders: '{Path(name)}/**/*.jpg'" if below else "")


def image_ids(paths: Sequence[Path]) -> list[int]:
    """The number in each file name (HICO's and COCO's ids); positions if two share one, or one has
    none or a number too large for a result file."""
    ids = [number_in(path.name) for path in paths]
    unique = len(set(ids)) == len(ids) and all(i >= 0 for i in ids)
    return ids if unique else list(range(1, len(paths) + 1))


def number_in(file: str) -> int:
    """The last number in the name of a file, -1 where there is none or one that is too large."""
    numbers = re.findall(r"[0-9]+", os.path.splitext(os.path.basename(file))[0])
    # 17 digits: int() of a name with thousands of them would be refused.
    if not numbers or len(numbers[-1].lstrip("0")) >= 17:
        return -1
    number = int(numbers[-1])
    return number if number < _LARGEST_ID else -1
