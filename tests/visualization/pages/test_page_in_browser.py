"""The gallery page in a real Chromium, opened from disk; run_page.js is the quick stand-in."""

import re
import shutil
import subprocess

import pytest

from hoi_d2.visualization.pages.html import GalleryImage, write_gallery

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
IMAGES = [
    GalleryImage("p/1.png", "one", (64, 48), [("ride", "bicycle", "")]),
    GalleryImage("p/2.png", "two", (64, 48), [("hold", "bicycle", "")] * 3),
]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize(("choice", "shown"), [("", ["1", "2"]), ("#verb=ride", ["1"])])
def test_filters(choice, shown, tmp_path):
    page = tmp_path / "index.html"
    facets = ("verb", "object", "rare")
    write_gallery(page, title="T", summary="S", facets=facets, images=IMAGES)
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [CHROMIUM, *OPTIONS, profile, "--dump-dom", f"file://{page}{choice}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert re.findall(r'<img src="p/(\d)', done.stdout) == shown
    assert f"{len(shown)} of 2 images" in done.stdout
    filters = re.findall(r"<label>(\w+) ", done.stdout)
    assert filters == ["verb", "object"], "no filter without a value to choose"
