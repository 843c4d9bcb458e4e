"""Selects a font that has the letters of a text: class names can be in any script."""

from __future__ import annotations

import importlib.util
import logging
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

logger = logging.getLogger(__name__)

_PLACEHOLDERS = ("lastresort", "adobeblank")  # these fonts map every letter to a box
_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")


def default_font() -> str:
    """Returns DejaVu Sans Bold, which matplotlib includes: Latin, Greek, Cyrillic, Arabic, ..."""
    found = importlib.util.find_spec("matplotlib")  # importing it takes long
    assert found is not None and found.origin is not None
    fonts = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    return str(fonts / "DejaVuSans-Bold.ttf")


@lru_cache(maxsize=1024)
def font_for(text: str, wanted: str | None = None) -> str:
    """Returns the first font file with all letters of a text, else the one with most of them.

    A warning names letters that are drawn as boxes, once each.

    Args:
        text: the text to draw.
        wanted: a font file to use in any case; None = DejaVu Sans, or an installed font if letters
            are missing in it.
    """
    if wanted is None and text.isascii():
        return default_font()  # has them all; reading the font would import matplotlib
    letters = {ord(c) for c in text if unicodedata.category(c) not in _INVISIBLE}
    path = wanted or default_font()
    missing = _missing(letters, path)
    if missing and wanted is None:
        path = min(
            _candidates(missing), key=lambda font: len(_missing(letters, font)), default=path
        )
        missing = _missing(letters, path)
    _warn(frozenset(missing), path)
    return path


def _missing(letters: Iterable[int], path: str) -> set[int]:
    known = letters_of(path)
    return {letter for letter in letters if letter not in known}


def _candidates(missing: set[int]) -> list[str]:
    """Returns installed fonts that have some of the letters."""
    return [font for font in system_fonts() if missing & letters_of(font)] + [default_font()]


@lru_cache(maxsize=1)
def system_fonts() -> tuple[str, ...]:
    """Returns the installed font files, in a fixed order."""
    from matplotlib.font_manager import findSystemFonts

    fonts = sorted(findSystemFonts(), key=lambda f: ("bold" not in Path(f).name.lower(), f))
    return tuple(f for f in fonts if not Path(f).name.lower().startswith(_PLACEHOLDERS))


@lru_cache(maxsize=4096)
def letters_of(path: str) -> frozenset[int]:
    """Returns the code points of a font file; none if it cannot be read at any size."""
    from matplotlib.ft2font import FT2Font

    try:
        ImageFont.truetype(path, 12)
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()


_warned: set[int] = set()


def _warn(missing: frozenset[int], path: str) -> None:
    new = sorted(missing - _warned)
    if new and letters_of(path):
        _warned.update(new)
        shown = "".join(map(chr, new[:20])) + ("..." if len(new) > 20 else "")
        logger.warning(
            "%s has no letters for %s, which are drawn as boxes: name a font that has them with "
            "--font FILE (HOIVisualizer(font=...) in Python)",
            Path(path).name,
            shown.encode("utf-8", "backslashreplace").decode(),
        )
