"""Class names of any script: a font that has the letters, or a warning that names them."""

from __future__ import annotations

import logging
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.visualization import HOIVisualizer, fonts
from hoi_d2.visualization.fonts import default_font, font_for, letters_of
from hoi_d2.visualization.scene import Interaction

STIX = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "STIXSizFiveSymReg.ttf")
GENERAL = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf")
ONLY_GENERAL = next(
    chr(c) for c in sorted(letters_of(GENERAL) - letters_of(default_font())) if 0x2000 < c < 0xE000
)


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No fonts but those of matplotlib, and no warning that was given before."""
    monkeypatch.setattr(fonts, "system_fonts", lambda: (STIX, GENERAL))
    monkeypatch.setattr(fonts, "_warned", set())
    font_for.cache_clear()
    yield
    font_for.cache_clear()


@pytest.mark.parametrize(
    ("text", "font"),
    [
        ("", default_font()),
        ("ride bicycle 0.87", default_font()),
        ("едет велосипед, ποδήλατο", default_font()),
        ("two\nlines\u200d", default_font()),  # what is not seen needs no letter
        (f"ride {ONLY_GENERAL}", GENERAL),
        ("骑 车", default_font()),  # none has them: the one with most of the others
    ],
)
def test_the_font_has_the_letters(text, font):
    assert font_for(text) == font


@pytest.mark.parametrize(
    ("text", "named"), [("ride", ""), ("骑 ride กิน", "กนิ骑"), ("骑" * 9, "骑")]
)
def test_letters_without_a_font_are_warned_of_once(text, named, caplog):
    with caplog.at_level(logging.WARNING):
        font_for(text)
        font_for(text + " again")
    assert len(caplog.records) == bool(named)
    for record in caplog.records:
        assert named in record.getMessage() and "--font FILE" in record.getMessage()


def test_a_font_that_was_asked_for_is_taken(caplog):
    assert font_for("骑", GENERAL) == GENERAL
    assert "STIXGeneral.ttf has no letters for 骑" in caplog.text


def test_files_that_are_no_fonts_have_no_letters(tmp_path):
    (tmp_path / "a.ttf").write_bytes(b"no font")
    assert letters_of(str(tmp_path / "a.ttf")) == letters_of(str(tmp_path / "none.ttf")) == set()


def test_two_scripts_in_one_image(monkeypatch):
    """Each label is drawn in a font of its own."""
    used = []
    monkeypatch.setattr(
        "hoi_d2.visualization.painter.font_for", lambda text, path: used.append(text) or GENERAL
    )
    words = Vocabulary.from_hois("v", ("person", "cup"), ("ride", ONLY_GENERAL), [(1, 0), (1, 1)])
    human, cup = np.array([5.0, 5, 40, 90]), np.array([50.0, 50, 80, 80])
    rows = [
        Interaction(human_box=human + 60 * k, verb=k, object_box=cup, object_class=1, score=0.5)
        for k in (0, 1)
    ]
    HOIVisualizer(np.zeros((200, 300, 3), np.uint8)).draw_interactions(rows, words)
    assert any(ONLY_GENERAL in text for text in used) and any("ride" in text for text in used)
