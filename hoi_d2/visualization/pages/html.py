"""Writes a static page of images with filters; it opens from disk without a network."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TEMPLATE = Path(__file__).with_name("gallery_template.html")


@dataclass(frozen=True)
class GalleryImage:
    """An image of the page.

    Args:
        src: path relative to the page.
        title: shown below it.
        size: (width, height) in pixels, so that the page does not jump while it loads.
        rows: one per interaction; values in the order of the page's facets, "" = none.
        numbers: values by which the images can be sorted.
    """

    src: str
    title: str
    size: tuple[int, int]
    rows: Sequence[Sequence[str]]
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GalleryTable:
    """A table that is sorted by a click on a column; None and NaN are shown as a dash."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def write_gallery(
    path: str | Path,
    *,
    title: str,
    summary: str,
    facets: Sequence[str],
    images: Sequence[GalleryImage],
    figures: Sequence[tuple[str, str]] = (),
    tables: Sequence[GalleryTable] = (),
    image_width: int = 420,
) -> None:
    """Writes the page.

    Args:
        path: of the page; images and figures are next to it or in folders below.
        title: heading.
        summary: a line or two below it.
        facets: names of what `GalleryImage.rows` hold; each becomes a filter.
        images: in the order in which they are shown.
        figures: (path relative to the page, caption).
        tables: shown above the images.
        image_width: least width of an image on the page, in pixels.
    """
    data = {
        "facets": list(facets),
        "numbers": sorted({name for p in images for name in p.numbers}),
        "images": [
            {"src": p.src, "title": p.title, "size": p.size, "rows": p.rows, "numbers": p.numbers}
            for p in images
        ],
        "figures": [{"src": src, "title": caption} for src, caption in figures],
        "tables": [{"title": t.title, "columns": t.columns, "rows": t.rows} for t in tables],
    }
    texts = {
        "@TITLE@": html.escape(title),
        "@SUMMARY@": html.escape(summary),
        "@WIDTH@": str(image_width),
        "@DATA@": _script_json(data),
    }
    template = _TEMPLATE.read_text(encoding="utf-8")
    page = re.sub("|".join(texts), lambda match: texts[match[0]], template)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(page, encoding="utf-8")


def _script_json(value: Any) -> str:
    """Returns JSON in which no class name can close the script element."""
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    """Converts numpy scalars to Python's and NaN to null for JSON."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
