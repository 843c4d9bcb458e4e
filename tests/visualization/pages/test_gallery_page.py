import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hoi_d2.visualization.pages.html import GalleryImage, GalleryTable, write_gallery

FACETS = ("verb", "object", "rare")
IMAGES = [
    GalleryImage("p/1.png", "one", (64, 48), [("ride", "bicycle", ""), ("hold", "kite", "rare")]),
    GalleryImage("p/2.png", "two", (64, 48), [("hold", "bicycle", "")] * 3),
    GalleryImage("p/3.png", "three", (64, 48), []),
]


@pytest.fixture
def page(tmp_path):
    def write(images=IMAGES, **kwargs) -> Path:
        path = tmp_path / "new" / "index.html"
        kwargs = {"title": "T", "summary": "S", "facets": FACETS, **kwargs}
        write_gallery(path, images=images, **kwargs)
        return path

    return write


def data_of(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.mark.parametrize("images", [[], IMAGES[:1], IMAGES])
def test_the_page_holds_the_images(images, page):
    data = data_of(page(images))
    assert [p["src"] for p in data["images"]] == [p.src for p in images]
    assert data["facets"] == list(FACETS)


def test_nothing_comes_from_a_network(page):
    text = page().read_text(encoding="utf-8")
    assert not re.findall(
        r"(?:https?:)?//[a-z]|@import|<link|src=\"(?!p/)", text.split("<script>")[0]
    )
    assert "http" not in text and "fetch(" not in text and "import(" not in text


def test_names_cannot_leave_their_place(page):
    evil = '</script><b>"&@DATA@@TITLE@'
    images = [GalleryImage("p/1.png", evil, (1, 1), [(evil, "", "")])]
    path = page(images, title=evil, summary=evil)
    text = path.read_text(encoding="utf-8")
    assert text.count("</script>") == 2 and "<b>" not in text
    assert data_of(path)["images"][0]["rows"] == [[evil, "", ""]]


def test_numbers_that_json_has_not(page):
    rows = [["a", float("nan"), np.float32(0.5)], ["b", np.int64(3), None]]
    data = data_of(page(tables=[GalleryTable("t", ["x", "y", "z"], rows)]))
    assert data["tables"][0]["rows"] == [["a", None, 0.5], ["b", 3, None]]


def run(path: Path, *choices: tuple[str, str]) -> dict:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the page's script cannot be run")
    script = Path(__file__).with_name("run_page.js")
    command = [node, str(script), str(path), json.dumps(choices)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("choices", "shown"),
    [
        ([], [1, 2, 3]),
        ([("verb", "hold")], [1, 2]),
        ([("verb", "hold"), ("object", "bicycle")], [2]),  # one and the same interaction
        ([("rare", "rare")], [1]),
        ([("verb", "ride"), ("rare", "rare")], []),
        ([("verb", "ride"), ("verb", "")], [1, 2, 3]),
        ([("verb", "ride"), ("reset", "")], [1, 2, 3]),
    ],
)
def test_filters(choices, shown, page):
    view = run(page(), *choices)["views"][-1]
    assert view["images"] == [f"p/{n}.png" for n in shown]
    assert view["count"] == f"{len(shown)} of 3 images"


def test_options_and_captions(page):
    shown = run(page())
    assert shown["filters"] == ["verb", "object", "rare"]
    assert shown["options"] == [
        ["all", "hold (2)", "ride (1)"],
        ["all", "bicycle (2)", "kite (1)"],
        ["all", "rare (1)"],
    ]
    assert shown["views"][0]["captions"] == [
        "ride bicycle",
        "hold kite [rare]",
        "hold bicycle ×3",  # noqa: RUF001
    ]


def test_the_choice_is_in_the_address(page):
    assert run(page(), ("verb", "hold"))["views"][-1]["hash"] == "verb=hold"


def test_sorting_by_numbers(page):
    images = [
        GalleryImage(f"p/{n}.png", "", (1, 1), [], {"errors": e}) for n, e in ((1, 2), (2, 10))
    ]
    views = run(page(images), ("sort", "errors"))["views"]
    assert views[0]["images"] == ["p/1.png", "p/2.png"]
    assert views[1]["images"] == ["p/2.png", "p/1.png"]


def test_figures_and_tables(page):
    table = GalleryTable("classes", ["class", "AP"], [["a", 5.0], ["b", 40.0], ["c", None]])
    path = page(figures=[("f/x.png", "X")], tables=[table])
    shown = run(path, ("click", "AP"))
    assert shown["figures"] == ["f/x.png"]
    assert shown["table"] == [["class", "AP"], ["a", "5"], ["b", "40"], ["c", "–"]]  # noqa: RUF001
    assert [row[0] for row in shown["sorted"]] == ["class", "b", "a", "c"]
