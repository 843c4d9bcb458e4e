"""Which font has the letters of a text: class names may be of any script."""

from __future__ import annotations

import importlib.util
import logging
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

logger = logging.getLogger(__name__)

_PLACEHOLDERS = ("lastresort", "adobeblank")  # these "have" every letter, as a box
_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")


def default_font() -> str:
    """DejaVu Sans Bold, which matplotlib includes: Latin, Greek, Cyrillic, Arabic, ..."""
    found = importlib.util.find_spec("matplotlib")  # importing it takes long
    assert found is not None and found.origin is not None
    fonts = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    return str(fonts / "DejaVuSans-Bold.ttf")


@lru_cache(maxsize=1024)
def font_for(text: str, wanted: str | None = None) -> str:
    """A font file for a text: the first one that has all of its letters, else the one with most.

    Letters that are drawn as boxes are warned of, once each.

    Args:
        text: what is to be drawn.
        wanted: a font file that is taken in any case; None = DejaVu Sans, or a font of this
            machine where that lacks letters.
    """
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
    """Fonts of this machine with some of the letters."""
    return [font for font in system_fonts() if missing & letters_of(font)] + [default_font()]


@lru_cache(maxsize=1)
def system_fonts() -> tuple[str, ...]:
    """The font files of this machine, in a fixed order."""
    from matplotlib.font_manager import findSystemFonts

    fonts = sorted(findSystemFonts(), key=lambda f: ("bold" not in Path(f).name.lower(), f))
    return tuple(f for f in fonts if not Path(f).name.lower().startswith(_PLACEHOLDERS))


@lru_cache(maxsize=4096)
def letters_of(path: str) -> frozenset[int]:
    """Code points that a font file has letters for; none if it cannot be read at any size."""
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
