"""The page in a real headless Chromium, as somebody uses it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch
from PIL import Image

from hoi_d2.demo.web.session import Limits, WebSession
from hoi_d2.inference.predictor import get_model
from tests.demo.hostile_files import ANSWERS, HOSTILE, ODD, write_image
from tests.demo.web.web_browser import Visitor, browser, chromium, serve, toy_image

chromium()
DOCS = Path(__file__).parents[3] / "docs/images.md"
_TABLE = re.compile(r"(<!-- uploads -->\n).*?(<!-- end -->)", re.DOTALL)
MODELS = ["toy/rmlr", "random", "too large", "RmLR/R50"]


def load(name):
    """The toy model, models that fail in some way, and one without weights."""
    if name == "too large":
        return fail
    return get_model("toy/rmlr", pretrained=False) if name == "random" else get_model(name)


def fail(image):
    raise torch.OutOfMemoryError("CUDA out of memory")


def load_open(classes):
    raise FileNotFoundError("CLIP could not be had")


@pytest.fixture(scope="module")
def chrome():
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def address():
    pillows = Image.MAX_IMAGE_PIXELS
    session = WebSession(load, limits=Limits(megabytes=1), load_open=load_open)
    with serve(session, MODELS) as address:
        yield address
    Image.MAX_IMAGE_PIXELS = pillows


@pytest.fixture
def visitor(chrome, address, capfd):
    visitor = Visitor(chrome, address)
    yield visitor
    assert visitor.errors == []
    visitor.page.close()
    assert "Traceback" not in "".join(capfd.readouterr())


def test_upload_threshold_rows_and_downloads(visitor, tmp_path):
    visitor.upload(toy_image(tmp_path / "scene.png"))
    visitor.wait_for("(score 0.20 or more")
    few = visitor.rows.count()
    assert 1 < few < 20
    visitor.rows.nth(2).hover()
    assert visitor.lit == ["1"], "rows 1 and 2 are of one pair"
    visitor.page.mouse.move(2, 2)
    assert visitor.lit == []
    visitor.rows.nth(0).click()
    visitor.page.mouse.move(2, 2)
    assert visitor.lit == ["0"]
    visitor.set("threshold", "0")
    visitor.wait_for("(score 0.00 or more")
    assert visitor.rows.count() == 20, "what the other slider allows"
    assert visitor.lit == ["0"], "the choice outlives the threshold"
    visitor.rows.nth(0).click()
    assert visitor.lit == [], "chosen again: let go, though the pointer is still there"
    content = json.loads(visitor.download("#download", tmp_path / "got.json").read_text())
    assert len(content["triplets"]) == 20
    assert Image.open(visitor.download("#save", tmp_path / "got.jpg")).size == (576, 480)


def test_rows_by_keyboard(visitor, tmp_path):
    visitor.upload(toy_image(tmp_path / "scene.png"))
    visitor.wait_for("interactions shown")
    visitor.page.focus("#save")
    for key, lit in [("Tab", ["0"]), ("Enter", ["0"]), ("Shift+Tab", ["0"]), ("Escape", [])]:
        visitor.page.keyboard.press(key)
        assert visitor.lit == lit, key


def test_visitors_do_not_see_one_another(visitor, chrome, address, tmp_path):
    other = Visitor(chrome, address)
    visitor.upload(toy_image(tmp_path / "a.png", 1))
    other.upload(toy_image(tmp_path / "b.png", 5))
    seen = visitor.wait_for("interactions shown"), other.wait_for("interactions shown")
    visitor.set("threshold", "0.9")
    visitor.wait_for("(score 0.90")
    assert other.status == seen[1]
    other.set("top-k", "3")
    other.wait_for("at most 3)")
    images = [v.page.get_attribute("#image img", "src") for v in (visitor, other)]
    assert images[0] != images[1]
    other.remove()
    assert "(score 0.90" in visitor.status
    assert other.errors == []
    other.page.close()


def test_one_image_after_the_other(visitor, tmp_path):
    scene = toy_image(tmp_path / "scene.png")
    visitor.upload(scene)
    first = visitor.wait_for("interactions shown")
    visitor.rows.nth(0).click()
    visitor.upload(toy_image(tmp_path / "other.png", 0))
    visitor.page.wait_for_function(
        "old => document.querySelector('#status').innerText !== old", arg=first
    )
    assert visitor.lit == [], "a choice is of one image"
    visitor.remove()
    visitor.upload(scene)
    assert visitor.wait_for("interactions shown") == first


def test_what_is_typed_into_a_slider_is_made_possible(visitor, tmp_path):
    visitor.upload(toy_image(tmp_path / "scene.png"))
    visitor.wait_for("interactions shown")
    for typed, applied in [("5", "score 1.00"), ("-1", "score 0.00"), ("", "score 0.20")]:
        visitor.set("threshold", typed)
        visitor.wait_for(applied)


def test_too_large_a_file_is_not_sent(visitor, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (700, 700, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    visitor.upload(tmp_path / "noise.png")
    line = visitor.page.inner_text("#limits")
    assert line == (
        "Not sent: noise.png has 1.4 MB, 1.0 MB are accepted: make the image smaller, or save "
        "it as JPEG."
    )
    visitor.upload(toy_image(tmp_path / "scene.png"))
    visitor.wait_for("interactions shown")
    assert visitor.page.inner_text("#limits") == "At most 1 MB and 40 million pixels"


def test_files_of_the_server_are_no_uploads(address, tmp_path):
    """Asked past the page for an image that lies on the server."""
    secret = toy_image(tmp_path / "secret.png")
    upload = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    question = {"fn_index": 0, "session_hash": "x", "data": [upload, "toy/rmlr", "", 0.2, 20]}
    request = Request(
        f"{address}/gradio_api/queue/join",
        json.dumps(question).encode(),
        {"content-type": "application/json"},
    )
    urlopen(request).read()
    for line in urlopen(f"{address}/gradio_api/queue/data?session_hash=x", timeout=60):
        if b"process_completed" in line:
            break
    assert b'"success":false' in line and b"status" not in line.split(b'"output"')[1][:60]


def test_models_that_fail_say_why(visitor, tmp_path):
    visitor.upload(toy_image(tmp_path / "scene.png"))
    visitor.wait_for("interactions shown")
    visitor.choose_model("random")
    visitor.wait_for("Model random")
    assert "random weights, the scores mean nothing" in visitor.page.inner_text("#warning")
    visitor.choose_model("too large")
    visitor.wait_for("not enough memory for the model too large")
    visitor.choose_model("RmLR/R50")
    visitor.wait_for("no weights of RmLR/rmlr_R50_hico_det come with the package")
    visitor.page.fill("#classes textarea", "riding a horse")
    visitor.page.click("#find")
    visitor.wait_for("the model for classes of your own cannot be used: CLIP could not be had")
    visitor.page.fill("#classes textarea", "")
    visitor.choose_model("toy/rmlr")
    visitor.wait_for("Model toy/rmlr")


@pytest.mark.slow
def test_files_of_every_kind_get_the_documented_answer(visitor, tmp_path):
    """One page for all: what goes wrong with one upload must not hurt the next.

    `HOI_D2_WRITE_DOCS=1` writes the table of docs/images.md, which is compared otherwise.
    """
    lines = ["| file | what the page says |", "|---|---|"]
    for number, (kind, words) in enumerate((HOSTILE | ODD).items()):
        path = tmp_path / f"{number}.png"
        write_image(path, kind)
        visitor.upload(path)
        status = visitor.wait_for("Not done" if kind in HOSTILE else "interactions shown")
        assert ANSWERS[kind].lower() in status.lower()
        assert "Traceback" not in visitor.page.content()
        assert str(tmp_path) not in visitor.page.content()
        said = status.partition("Model toy/rmlr. ")[2] if kind in ODD else status
        lines.append(f"| {words} | {said or 'nothing: it is shown'} |")
        visitor.remove()
    page = DOCS.read_text(encoding="utf-8")
    table = "\n".join(lines) + "\n"
    if os.environ.get("HOI_D2_WRITE_DOCS"):
        DOCS.write_text(_TABLE.sub(lambda found: found[1] + table + found[2], page), "utf-8")
    else:
        assert table in page
