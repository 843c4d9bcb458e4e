"""What the server refuses before the page sees it: foreign hosts, foreign pages, large requests.

All three are plain ASGI middleware. A page of another site must not use this one through the
browser of a visitor (DNS rebinding, cross-site requests), and no request may fill the disk.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FORM_BYTES = 64 * 1024
"""Room for the parts of an upload's form besides the file."""


class TooLargeError(Exception):
    """A request without a length turned out too large while it was read."""


class SameSite:
    """Answers only requests to this server's own address, from its own pages.

    Args:
        app: the application.
        host: the address that the server listens on; with 0.0.0.0 or :: any host is answered, but
            still only to its own pages.
    """

    def __init__(self, app: App, *, host: str) -> None:
        self.app, self.hosts = app, allowed_hosts(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        host = _name(f"//{headers.get('host', '')}")
        if self.hosts is not None and host not in self.hosts:
            await _refuse(scope, send, 421, "this server does not answer to that host name")
        elif "origin" in headers and urlsplit(headers["origin"]).netloc != headers.get("host"):
            await _refuse(scope, send, 403, "requests of other pages are refused")
        else:
            await self.app(scope, receive, send)


def allowed_hosts(host: str) -> tuple[str, ...] | None:
    """The host names of a server that listens on an address; None = any."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return (*_LOOPBACK, host) if host == "localhost" else (host,)
    if address.is_unspecified:
        return None
    return _LOOPBACK if address.is_loopback else (host,)


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # no address at all, such as "[1"
        return None


class BodyLimit:
    """Refuses requests whose body is larger than one upload may be, all files together.

    Args:
        app: the application.
        max_bytes: of the largest file.
    """

    def __init__(self, app: App, *, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes + _FORM_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = next((v for k, v in scope["headers"] if k.lower() == b"content-length"), b"0")
        if not length.isdigit() or int(length) > self.max_bytes:
            await _refuse(scope, send, 413, f"a request has at most {self.max_bytes} bytes")
            return
        read = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.max_bytes:
                raise TooLargeError
            return message

        try:
            await self.app(scope, counted, send)
        except TooLargeError:
            await _refuse(scope, send, 413, f"a request has at most {self.max_bytes} bytes")


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})


def is_upload(path: str, folder: str | Path) -> bool:
    """Whether a path that came with a request names a file that the server stored as an upload.

    Uploads lie in a folder of their own, each in one named by the hash of its bytes: who has not
    uploaded the very file cannot name it. Links out of the folder do not count.
    """
    try:
        relative = Path(path).resolve().relative_to(Path(folder).resolve())
    except (OSError, ValueError):  # another folder, a null byte, too long a name
        return False
    return len(relative.parts) == 2 and Path(path).is_file()
