"""File names of images in the addresses that Label Studio's tasks hold."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hoi_d2.data.datasets.records import Findings

IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .gif .heic .heif .jfif .jp2 .jpe .jpeg .jpg .mpo .png .ppm .tif .tiff .webp".split()
)
_USUAL_FIELDS = ("image", "img", "photo", "picture", "image_url", "url")
_UPLOAD = re.compile(r"(?:^|/)data/upload/(?:\d+/)?(?:[0-9a-f]{8}-)?(?=[^/]+$)")
_DRIVE = re.compile(r"^[A-Za-z]:/")


def image_name(
    data: Any, tags: Collection[str], findings: Findings, *, field: str = ""
) -> str | None:
    """Returns the file name, with its folders, of the image of a task.

    Args:
        data: of the task.
        tags: names of the image tags that its regions belong to; they usually are those of fields.
        findings: the problems of the export.
        field: the field of `data` that holds the image; "" = the field that a tag or a usual name
            names, or the only one with the address of an image.

    Returns:
        The name, or None after a problem was noted.
    """
    values = {k: v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}
    chosen = field or _field(values, tags)
    if chosen not in values:
        what = "an object with the address of an image (--image-field names its key)"
        findings.add(f"data.{field}" if field else "data", data, what)
        return None
    name = file_name(values[chosen])
    if not name or ".." in PurePosixPath(name).parts:
        what = "the address of an image file (--image-field names another key)"
        findings.add(f"data.{chosen}", values[chosen], what)
        return None
    return findings.name(name, f"data.{chosen}")


def _field(values: dict[str, str], tags: Collection[str]) -> str:
    images = [k for k, v in values.items() if _suffix(file_name(v)) in IMAGE_SUFFIXES]
    for names in (images, list(values)):
        for usual in (*tags, *_USUAL_FIELDS):
            found = [n for n in names if n.lower() == usual.lower()]
            if found:
                return found[0]
        if len(names) == 1 and names is images:
            return names[0]
    return ""


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def file_name(address: str) -> str:
    """Returns the file name in an address, with its folders.

    | address | name |
    |---|---|
    | `/data/upload/3/0a1b2c3d-street.jpg` (the prefix comes from the upload) | `street.jpg` |
    | `/data/local-files/?d=day1/street.jpg` | `day1/street.jpg` |
    | `s3://bucket/day1/street.jpg`, the same of other stores | `day1/street.jpg` |
    | `/tasks/7/resolve/?fileuri=BASE64` | that of the address in it |
    | `https://host/day1/street.jpg?signature` | `day1/street.jpg` |
    """
    if address.startswith("data:"):
        return ""
    try:
        parts = urlsplit(address)
        query = parse_qs(parts.query)
    except ValueError:
        return ""
    inner = _decoded(query["fileuri"][0]) if "fileuri" in query else ""
    if inner:
        return file_name(inner)
    if "d" in query:
        path = query["d"][0]
    elif parts.scheme and not parts.netloc:  # `C:\images\a.jpg`
        path = address
    else:
        path = unquote(parts.path)
    path = _DRIVE.sub("", path.replace("\\", "/"))
    return _UPLOAD.sub("", path).lstrip("/")


def _decoded(text: str) -> str:
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
