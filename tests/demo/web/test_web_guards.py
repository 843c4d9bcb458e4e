"""Attacks on the page's server: each one worked, or told something, without its guard."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from PIL import Image

from hoi_d2.demo.web.guards import allowed_hosts, is_upload
from hoi_d2.demo.web.server import upload_folder
from hoi_d2.demo.web.session import Limits, UploadError, WebSession

pytest.importorskip("gradio")
from tests.demo.web.web_browser import serve

LIMITS = Limits(megabytes=0.1, megapixels=1)
SEEN: list[str] = []


class Session(WebSession):
    """Notes which files the page asks for; no model is loaded."""

    def analyse(self, path, model, classes=()):
        SEEN.append(str(path))
        raise UploadError("seen")


@pytest.fixture(scope="module")
def address():
    pillows = Image.MAX_IMAGE_PIXELS
    with upload_folder(), serve(Session(lambda name: None, limits=LIMITS), ["toy/rmlr"]) as served:
        yield served
    Image.MAX_IMAGE_PIXELS = pillows


def ask(address: str, method: str, path: str, body: bytes = b"", **headers: str) -> int:
    """The status of one request, with these headers in place of the usual ones."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    connection.putrequest(method, path, skip_host="host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    if body or method == "POST":
        connection.putheader("content-length", str(len(body)))
    connection.endheaders(body or None)
    return connection.getresponse().status


def answer(address: str, upload: object) -> str:
    """What the page answers to an event with this in the place of an upload."""
    question = {"fn_index": 0, "session_hash": "x", "data": [upload, "toy/rmlr", "", 0.2, 20]}
    headers = {"content-type": "application/json"}
    url = f"{address}/gradio_api/queue/join"
    urlopen(Request(url, json.dumps(question).encode(), headers)).read()
    for line in urlopen(f"{address}/gradio_api/queue/data?session_hash=x", timeout=60):
        if b"process_completed" in line:
            return line.decode()
    return ""


def test_a_path_of_the_server_is_no_upload(address, tmp_path):
    """With or without the mark of an upload, there or not, inside or out of the folder."""
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    SEEN.clear()
    replies = set()
    for path in (str(secret), str(tmp_path / "none.png"), "/etc/hostname", "\0", "../" * 9):
        replies.add(answer(address, {"path": path}))
        answer(address, {"path": path, "meta": {"_type": "gradio.FileData"}})
    assert SEEN == []
    assert all(str(tmp_path) not in reply for reply in replies)


def test_an_upload_is_seen(address, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "mine.png")
    boundary = b"--x"
    part = b'content-disposition: form-data; name="files"; filename="mine.png"\r\n'
    body = b"\r\n".join([boundary, part, (tmp_path / "mine.png").read_bytes(), b"--x--", b""])
    headers = {"content-type": "multipart/form-data; boundary=x"}
    [path] = json.loads(urlopen(Request(f"{address}/gradio_api/upload", body, headers)).read())
    SEEN.clear()
    answer(address, {"path": path, "meta": {"_type": "gradio.FileData"}})
    assert [Path(name).name for name in SEEN] == ["mine.png"]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_pages_of_the_framework_are_closed(address, page):
    assert ask(address, "GET", page) == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:1"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "[1"}, 421),
        ({"host": ""}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_foreign_hosts_and_pages(address, headers, status):
    assert ask(address, "GET", "/", **headers) == status


def test_its_own_pages_are_answered(address):
    assert ask(address, "GET", "/", origin=address) == 200


def test_the_files_of_a_request_are_limited_together(address):
    body = b"0" * (LIMITS.bytes + 100_000)
    assert ask(address, "POST", "/gradio_api/upload", body) == 413


def test_a_request_without_a_length_is_limited_too(address):
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /gradio_api/upload HTTP/1.1\r\nhost: {host}:{port}\r\n"
        head += (
            "transfer-encoding: chunked\r\ncontent-type: multipart/form-data; boundary=x\r\n\r\n"
        )
        connection.sendall(head.encode())
        chunk = b"10000\r\n" + b"0" * 0x10000 + b"\r\n"
        received = b""
        try:
            for _ in range(40):
                connection.sendall(chunk)
            connection.sendall(b"0\r\n\r\n")
            received = connection.recv(100)
        except OSError:
            received = received or connection.recv(100)
    assert b"200" not in received.split(b"\r\n")[0]


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("0.0.0.0", None),
        ("::", None),
        ("127.0.0.1", ("localhost", "127.0.0.1", "::1")),
        ("localhost", ("localhost", "127.0.0.1", "::1", "localhost")),
        ("192.168.0.7", ("192.168.0.7",)),
        ("photos.example", ("photos.example",)),
    ],
)
def test_hosts(host, names):
    assert allowed_hosts(host) == names


def test_what_an_upload_is(tmp_path):
    folder, outside = tmp_path / "uploads", tmp_path / "outside.png"
    (folder / "abc").mkdir(parents=True)
    (folder / "abc" / "a.png").touch()
    (folder / "b.png").touch()
    outside.touch()
    (folder / "abc" / "link.png").symlink_to(outside)
    assert is_upload(str(folder / "abc" / "a.png"), folder)
    for path in ("b.png", "abc", "abc/none.png", "abc/link.png", "abc/../../outside.png", "\0"):
        assert not is_upload(str(folder / path), folder)
