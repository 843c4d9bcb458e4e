"""A real server and a real browser for tests of the web page; skips where there is none."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from hoi_d2.data.toy import scene as toy

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
MINUTE = 60_000


def chromium():
    """Playwright's module; the test module is skipped, with the reason, where something lacks."""
    pytest.importorskip("gradio", reason="the extra [demo] is not installed")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed", allow_module_level=True)
    return api


@contextmanager
def browser() -> Iterator:
    with chromium().sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield started
        started.close()


@contextmanager
def serve(session, models: list[str]) -> Iterator[str]:
    """The page's address while it is served."""
    from hoi_d2.demo.web.page import build_page
    from hoi_d2.demo.web.server import make_server

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = build_page(session, models)
    server = make_server(page, host="127.0.0.1", port=port, limits=session.limits)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=30)
    assert not thread.is_alive(), "an open page holds the end of the server up"


class Visitor:
    """Somebody at the page."""

    def __init__(self, browser, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1300, "height": 1000})
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector("#upload input[type=file]", state="attached", timeout=MINUTE)
        self.page.wait_for_selector("#status", timeout=MINUTE)
        self.rows = self.page.locator("#table tbody tr")

    def upload(self, path: Path) -> None:
        self.page.set_input_files("#upload input[type=file]", str(path))

    def remove(self) -> None:
        self.page.click("#upload button[aria-label='Remove Image']")
        self.wait_for("Choose an image")

    def wait_for(self, text: str) -> str:
        """Until the status line has the text; returns the line."""
        self.page.wait_for_function(
            "text => document.querySelector('#status').innerText.includes(text)",
            arg=text,
            timeout=MINUTE,
        )
        return self.status

    @property
    def status(self) -> str:
        return self.page.inner_text("#status")

    def set(self, slider: str, value: str) -> None:
        field = self.page.locator(f"#{slider} input[type=number]")
        field.fill(value)
        field.press("Enter")

    def choose_model(self, name: str) -> None:
        self.page.click("#model input")
        self.page.get_by_role("option", name=name).click()

    @property
    def lit(self) -> list[str]:
        """The pairs that are highlighted."""
        return self.page.evaluate(
            "[...document.querySelectorAll('[data-pair].shown')].map(g => g.dataset.pair)"
        )

    def download(self, button: str, path: Path) -> Path:
        with self.page.expect_download(timeout=MINUTE) as download:
            self.page.click(button)
        download.value.save_as(path)
        return path


def toy_image(path: Path, number: int = 1) -> Path:
    Image.fromarray(toy.render(toy.toy_scene("val", number))[:, :, ::-1]).save(path)
    return path
