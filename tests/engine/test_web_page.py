"""The page in a real headless Chromium: upload, table, threshold, row, download, hostile files."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time

import pytest
from hostile_files import HOSTILE, ODD, write_picture
from PIL import Image

from hoi_d2.data import toy
from hoi_d2.engine.predictor import get_model
from hoi_d2.engine.web_page import build_page, make_server
from hoi_d2.engine.web_session import WebSession

pytest.importorskip("gradio", reason="the extra [demo] is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MINUTE = 60_000


@pytest.fixture(scope="module")
def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    session = WebSession(get_model, max_pixels=40_000_000)
    page = build_page(session, ["toy/rmlr"])
    server = make_server(page, host="127.0.0.1", port=port, max_megabytes=1)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=30)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)


@pytest.fixture
def page(browser, address):
    page = browser.new_page(viewport={"width": 1300, "height": 1100})
    page.goto(address)
    page.wait_for_selector("#upload input[type=file]", state="attached", timeout=MINUTE)
    yield page
    page.close()


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.png"
    Image.fromarray(toy.render(toy.toy_scene("val", 1))[:, :, ::-1]).save(path)
    return path


def upload(page, path) -> None:
    page.set_input_files("#upload input[type=file]", str(path))


def wait_for(page, text: str) -> None:
    page.wait_for_function(
        "text => document.querySelector('#status').innerText.toLowerCase().includes(text)",
        arg=text.lower(),
        timeout=MINUTE,
    )


def shown(page) -> int:
    return int(page.inner_text("#status").split()[0])


def set_threshold(page, value: float) -> None:
    box = page.locator("#threshold input[type=number]")
    box.fill(str(value))
    box.press("Enter")


def test_upload_threshold_row_and_download(page, scene, tmp_path):
    upload(page, scene)
    wait_for(page, "interactions shown")
    first = shown(page)
    set_threshold(page, 0)
    wait_for(page, "20 of ")  # what the other slider allows
    assert first < 20
    before = page.get_attribute("#picture img", "src")
    page.locator("#table [role=gridcell]").first.click()
    page.wait_for_function(
        "old => document.querySelector('#picture img').src !== old", arg=before, timeout=MINUTE
    )
    with page.expect_download(timeout=MINUTE) as download:
        page.click("#download")
    download.value.save_as(tmp_path / "got.json")
    content = json.loads((tmp_path / "got.json").read_text())
    assert len(content["triplets"]) == 20
    page.screenshot(path=tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000


@pytest.mark.slow
def test_files_of_every_kind_get_an_answer(page, tmp_path):
    """One page for all: what goes wrong with one upload must not hurt the next."""
    for number, (kind, expected) in enumerate({**HOSTILE, **ODD}.items()):
        path = tmp_path / f"{number}.png"
        write_picture(path, kind)
        upload(page, path)
        wait_for(page, expected if kind in HOSTILE else expected or "interactions shown")
        assert "Traceback" not in page.content() and str(tmp_path) not in page.content()
        page.click("#upload button[aria-label='Remove Image']")
        wait_for(page, "Choose a picture")
