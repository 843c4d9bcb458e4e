"""docs/config.md is made from hoi_d2/config/defaults.py."""

from pathlib import Path

from hoi_d2.config.document import config_document, key_comments
from tests.test_configs import added_keys

PAGE = Path(__file__).resolve().parents[2] / "docs" / "config.md"


def test_the_page_is_current():
    assert PAGE.read_text() == config_document(), "run `python tools/make_config_page.py`"


def test_every_added_key_is_on_it_once():
    keys = [key for key, _ in key_comments()]
    assert len(keys) == len(set(keys))
    assert added_keys() <= set(keys)


def test_a_comment_of_two_lines_is_whole():
    assert dict(key_comments())["DATASETS.OWN"] == (
        "Own data to register before anything else: [[name, JSON file, folder of images], ...] "
        "(datasets/README.md)."
    )


def test_every_key_has_a_comment():
    assert not [key for key, comment in key_comments() if not comment]
