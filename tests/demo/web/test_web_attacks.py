"""What strangers send to the page, past the page; without a browser.

| attack | test |
|---|---|
| an event names a file of the server, or an address | `test_only_uploads_are_opened` |
| an answer tells which files exist | `test_only_uploads_are_opened` |
| an event names the upload of somebody else | `test_an_upload_belongs_to_its_visitor` |
| a request asks for the upload of somebody else | `test_an_upload_is_shown_to_its_visitor_alone` |
| a forged or stale cookie | `test_cookies`, `test_owners` |
| a name that leads to this machine (DNS rebinding) | `test_foreign_addresses_are_refused` |
| a page of another site sends a form | `test_foreign_addresses_are_refused` |
| many or large files in one request | `test_sum_of_the_files_of_a_request` |
| a body that does not tell its size | `test_a_request_without_its_size` |
| few bytes that become gigabytes of pixels | `test_a_bomb_is_refused_by_its_header` |
| the largest image that is allowed | `test_memory_of_the_largest_upload` |
| pages that describe the interface | `test_no_pages_about_the_interface` |
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from hoi_d2.data.toy import scene as toy
from hoi_d2.demo.web.session import Limits, UploadError, WebSession, read_upload

pytest.importorskip("gradio", reason="the extra [demo] is not installed")
testclient = pytest.importorskip("starlette.testclient")

from hoi_d2.demo.web.page import build_page  # noqa: E402
from hoi_d2.demo.web.server import make_app  # noqa: E402
from hoi_d2.demo.web.uploads import COOKIE, EVERYBODY, UploadOwners, visitor_of  # noqa: E402

LIMITS = Limits(megabytes=1)
ADDRESS = "http://127.0.0.1:7860"


class Opened(list):
    """A session's `analyse` that only notes what it is given."""

    def __call__(self, path, model, classes=()):
        self.append(str(path))
        raise UploadError("noted")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(client, files that were opened, page, example)."""
    example = tmp_path_factory.mktemp("shown") / "an_example.png"
    _image().save(example)
    pillows = Image.MAX_IMAGE_PIXELS
    session = WebSession(lambda name: None, limits=LIMITS)
    session.analyse = opened = Opened()
    page = build_page(session, ["a"], examples=[example])
    app = make_app(page, host="127.0.0.1", port=7860, limits=LIMITS)
    with testclient.TestClient(app, base_url=ADDRESS) as client:
        yield client, opened, page, example
    Image.MAX_IMAGE_PIXELS = pillows


def _image() -> Image.Image:
    return Image.fromarray(toy.render(toy.toy_scene("val", 1))[:, :, ::-1])


def _ask(client, data: list, number: int = 0) -> dict:
    """Sends an event as the page does; the server's last message on it."""
    question = {"fn_index": number, "session_hash": "x", "data": data}
    client.post("/gradio_api/queue/join", json=question).raise_for_status()
    lines = client.get("/gradio_api/queue/data?session_hash=x").text.splitlines()
    messages = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    return next(m for m in messages if m["msg"] == "process_completed")


def _number(page, target: str) -> int:
    """Of the event that the example's button ("click") or the image ("change") raises."""
    found = [n for n, f in page.fns.items() if [kind for _, kind in f.targets] == [target]]
    return found[0]


def _analyse(world, upload: object) -> dict:
    return _ask(world[0], [upload, "a", "", 0.2, 20], _number(world[2], "change"))


@contextmanager
def _somebody_else(client) -> Iterator:
    """The client with the cookies of another browser, none at first."""
    own = dict(client.cookies)
    client.cookies.clear()
    yield client
    client.cookies.clear()
    client.cookies.update(own)


def _upload(client, path: Path) -> str:
    with path.open("rb") as file:
        answer = client.post("/gradio_api/upload", files={"files": file})
    return answer.raise_for_status().json()[0]


META = {"meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize("more", [{}, META, {"url": "http://127.0.0.1:9/x.png"}], ids=str)
@pytest.mark.parametrize("kind", ["file", "address", "missing", "folder of uploads"])
def test_only_uploads_are_opened(world, tmp_path, kind, more):
    client, opened, _, example = world
    mine = tmp_path / "mine.png"
    _image().save(mine)
    there = Path(_upload(client, mine)).parent / "other.png"
    _image().save(there)  # in gradio's folder, by somebody else
    paths = {
        "file": example,
        "address": "http://127.0.0.1:9/x.png",
        "missing": "/no/such/file.png",
        "folder of uploads": there,
    }
    opened.clear()
    answer = _analyse(world, {"path": str(paths[kind]), **more})
    assert not answer["success"]
    assert opened == []
    assert "No such" not in json.dumps(answer), "which files exist is nobody's business"


def test_an_upload_is_opened(world, tmp_path):
    client, opened, *_ = world
    path = tmp_path / "mine.png"
    _image().save(path)
    opened.clear()
    stored = _upload(client, path)
    for more in ({}, META):
        assert _analyse(world, {"path": stored, **more})["success"]
    assert opened == [stored, stored]


@pytest.mark.parametrize("more", [{}, META], ids=str)
def test_an_upload_belongs_to_its_visitor(world, tmp_path, more):
    client, opened, page, _ = world
    path = tmp_path / "private.png"
    _image().rotate(90).save(path)
    stored = _upload(client, path)
    opened.clear()
    change = _number(page, "change")
    question = [{"path": stored, **more}, "a", "", 0.2, 20]
    with _somebody_else(client) as other:
        for _ in range(2):  # without a cookie, then with one of their own
            assert "no longer exists" in json.dumps(_ask(other, question, change))
        assert opened == []
        assert _upload(other, path) == stored, "gradio names files by their content"
        assert _ask(other, question, change)["success"]
        assert opened == [stored], "who has the file may use it"


def test_an_upload_is_shown_to_its_visitor_alone(world, tmp_path):
    client, *_ = world
    path = tmp_path / "private.png"
    _image().rotate(180).save(path)
    address = f"/gradio_api/file={_upload(client, path)}"
    assert client.get(address).content == path.read_bytes()
    forged = {"cookie": f"{COOKIE}={'a' * 43}"}
    with _somebody_else(client) as other:
        for headers in ({}, {}, forged):  # without a cookie, with one of their own, with a made one
            answer = other.get(address, headers=headers)
            assert (answer.status_code, answer.text) == (404, "not found\n")
            other.get("/config")
    for odd in ("/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd", f"{address}/../x"):
        assert client.get(odd).status_code == 404


@pytest.mark.parametrize(
    ("header", "visitor"),
    [
        ("", ""),
        (f"{COOKIE}={'a' * 43}", "a" * 43),
        (f"x=1; {COOKIE}={'b' * 20}; y=2", "b" * 20),
        (f"{COOKIE}=short", ""),
        (f"{COOKIE}=", ""),
        (f"{COOKIE}={'a' * 5000}", ""),
        (f"{COOKIE}=<script>{'a' * 20}", ""),
        ("\0=;;==\xff", ""),
    ],
)
def test_cookies(header, visitor):
    assert visitor_of(header) == visitor


def test_owners():
    now = [0.0]
    owners = UploadOwners(10, now=lambda: now[0])
    assert not owners.has("/a", "ann") and not owners.has("/a", EVERYBODY)
    owners.add("/a", "ann")
    owners.add("/a", "bob")
    owners.add("/shown", EVERYBODY)
    assert owners.has("/a", "ann") and owners.has("/a", "bob")
    assert not owners.has("/a", "eve") and not owners.has("/a", EVERYBODY)
    assert owners.has("/shown", "eve") and owners.has("/shown", EVERYBODY)
    now[0] = 11.0
    owners.add("/b", "ann")
    assert not owners.has("/a", "ann") and owners.has("/b", "ann"), "forgotten with the file"


def test_a_visitor_keeps_the_cookie(world):
    found = []
    for _ in range(2):
        with _somebody_else(world[0]) as other:
            cookie = other.get("/config").headers["set-cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
            assert "set-cookie" not in other.get("/config").headers
            found.append(visitor_of(cookie))
    assert all(found) and found[0] != found[1]


def test_the_example_is_opened_once_it_is_chosen(world):
    client, opened, page, example = world
    answer = _ask(client, [], _number(page, "click"))
    shown = answer["output"]["data"][0]
    opened.clear()
    assert _analyse(world, shown)["success"]
    assert Path(opened[0]).read_bytes() == example.read_bytes()
    assert opened[0] != str(example)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:7860"}, 200),
        ({"host": "[::1]:7860"}, 200),
        ({"host": "evil.example"}, 400),
        ({"host": "evil.example:7860"}, 400),
        ({"host": "127.0.0.1.evil.example"}, 400),
        ({"host": "["}, 400),
        ({"host": ""}, 400),
        ({"host": "192.0.2.1:7860"}, 400),
        ({"origin": ADDRESS}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:8080"}, 403),
        ({"origin": "null"}, 403),
    ],
    ids=str,
)
def test_foreign_addresses_are_refused(world, headers, status):
    assert world[0].get("/config", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("host", "names", "asked", "status"),
    [
        ("0.0.0.0", [], "192.0.2.1:7860", 200),
        ("0.0.0.0", [], "evil.example", 400),
        ("0.0.0.0", ["Hoi.example"], "hoi.example", 200),
        ("192.0.2.1", [], "192.0.2.1:7860", 200),
        ("192.0.2.1", [], "192.0.2.2:7860", 400),
    ],
)
def test_names_of_a_server_for_everybody(world, host, names, asked, status):
    from hoi_d2.demo.web.guard import RequestGuard

    guard = RequestGuard(world[0].app.app, host=host, names=names, max_bytes=1)
    client = testclient.TestClient(guard, base_url=ADDRESS)
    assert client.get("/config", headers={"host": asked}).status_code == status


@pytest.mark.parametrize(
    ("path", "files", "status"),
    [
        ("/gradio_api/upload", [100], 200),
        ("/gradio_api/upload", [900_000], 200),
        ("/gradio_api/upload", [900_000, 900_000], 413),
        ("/gradio_api/upload", [2_000_000], 413),
        ("/gradio_api/queue/join", [2_000_000], 413),
    ],
)
def test_sum_of_the_files_of_a_request(world, path, files, status):
    sent = [("files", (f"{n}.png", bytes(size))) for n, size in enumerate(files)]
    assert world[0].post(path, files=sent).status_code == status


def test_a_request_without_its_size(world):
    answer = world[0].post("/gradio_api/upload", content=iter([b"x"] * 9))
    assert answer.status_code == 411


@pytest.mark.parametrize(
    "path",
    ["/docs", "/redoc", "/openapi.json", "/gradio_api/openapi.json", "/gradio_api/openapi.json/"],
)
def test_no_pages_about_the_interface(world, path):
    assert world[0].get(path).status_code == 404


def _megabytes(path: Path) -> tuple[str, int]:
    """What is said of an upload, and by how many MB the process grew at its peak."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is used now
    except OSError:
        pytest.skip("this system does not tell the peak of a process's memory")
    before = _peak()
    try:
        said = str(read_upload(path, limits=Limits())[0].shape)
    except UploadError as error:
        said = str(error)
    return said, _peak() - before


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_bomb_is_refused_by_its_header(tmp_path, monkeypatch, form):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "bomb"
    size = (9000, 9000)
    Image.new("1" if form != "WEBP" else "L", size).save(path, form)
    said, used = _megabytes(path)
    assert "at most 40 million are accepted" in said
    assert used < 40


@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_memory_of_the_largest_upload(tmp_path, mode):
    """40 million pixels; docs/images.md has the figures."""
    path = tmp_path / "large.png"
    Image.new(mode, (8000, 5000)).save(path)
    said, used = _megabytes(path)
    print(f"{mode}: {used} MB")
    assert said == "(5000, 8000, 3)"
    assert used < 800
