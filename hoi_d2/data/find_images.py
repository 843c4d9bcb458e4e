"""Finds the images given as paths, folders and globs, by name only: no file is opened."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

from hoi_d2.data.images import TOY_SCHEME
from hoi_d2.utils.user_errors import UserError

PHOTOGRAPHS = frozenset(
    ".jpg .jpeg .jpe .jfif .jfi .jif .mpo .jp2 .j2k .jpx .jpf .avif .heic .heif .hif .webp".split()
)
"""Suffixes of lossy formats. Their drawings are saved as JPEG, those of all other images as PNG."""
SUFFIXES = PHOTOGRAPHS | set(
    ".png .apng .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .gif .tga .ico".split()
)
"""Suffixes of the files that are read in a folder; HEIC too, because its error has a remedy."""
RAW = frozenset(".dng .cr2 .cr3 .nef .arw .raf .orf .rw2 .pef .srw .x3f".split())

LEFTOVER = "left by macOS or a camera"
OTHER = "not named as an image"
CAMERA_RAW = "raw camera files: save them as JPEG"
_LEFTOVER_SUFFIXES = frozenset(".thm .lrv .aae .xmp".split())
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]+://")
_LARGEST_ID = 2**53
"""JSON readers that store all numbers as floats round larger ids."""


class ImageInputError(UserError, ValueError):
    """Something that is no image, or no image that is taken; says what is."""


def refuse_address(name: str) -> None:
    """Raises ImageInputError for an address of the web: images are files of this machine."""
    if _ADDRESS.match(name) and not name.startswith(TOY_SCHEME):
        raise ImageInputError(f"{name} is an address: download the image, and name the file")


def find_images(inputs: Sequence[str], left_out: Counter[str] | None = None) -> list[Path]:
    """Returns the images in paths, folders (without subfolders) and globs, in order, each once.

    Args:
        inputs: paths, folders and globs (`**` includes subfolders).
        left_out: counter to which the skipped files of folders and globs are added, by reason.

    Raises:
        FileNotFoundError: one of them matches no image.
        ImageInputError: one of them is a web address.
    """
    counts: Counter[str] = Counter() if left_out is None else left_out
    found: dict[Path, None] = {}
    for name in inputs:
        refuse_address(name)
        before = counts.total()
        matches = list(_matches(name, counts))
        if not matches:
            raise FileNotFoundError(f"{name}: {_nothing_there(name, counts, before)}")
        found.update(dict.fromkeys(matches))
    return list(found)


def _matches(name: str, left_out: Counter[str]) -> Iterator[Path]:
    if os.path.isdir(name):
        names = iter([os.path.join(name, file) for file in _file_names(name)])
    elif os.path.lexists(name):  # given by the user: read it, whatever its name
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
    """Returns why a file is not an image, judging by its name; None = it is an image."""
    base = os.path.basename(file)
    suffix = os.path.splitext(base)[1].lower()
    if base.startswith(".") or suffix in _LEFTOVER_SUFFIXES:
        return LEFTOVER
    if suffix in RAW:
        return CAMERA_RAW
    return None if suffix in SUFFIXES else OTHER


def _file_names(folder: str) -> list[str]:
    """Returns the sorted names of the files in a folder, without a `stat` of each file."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.is_dir(follow_symlinks=False))


def _globbed(pattern: str) -> Iterator[str]:
    """Yields each matching file once; links to a parent folder make `glob` repeat them."""
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
    return what + (f"; to include subfolders: '{Path(name)}/**/*.jpg'" if below else "")


def image_ids(paths: Sequence[Path]) -> list[int]:
    """Returns the number in each file name, which is the id in HICO and COCO.

    If two names have the same number, or a name has none or one that is too large for a result
    file, the ids are 1, 2, 3, ...
    """
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
