"""What the web server refuses before anything is read: foreign addresses, large bodies."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

WITHOUT_FILES = 1024 * 1024
"""Largest body in bytes of a request that uploads nothing."""
ENVELOPE = 64 * 1024
"""Bytes that a form needs around the files in it."""


class RequestGuard:
    """ASGI middleware that answers 400, 403, 404, 411 or 413 instead of the page.

    A page of another site reaches a server on this machine through a name of its own that leads
    to 127.0.0.1 (DNS rebinding), or by a form that it sends; the headers `Host` and `Origin` tell.

    Args:
        app: the page.
        host: address that the server listens on; "0.0.0.0" and "::" = every address of the
            machine.
        names: under which visitors reach the server as well, such as that of a proxy.
        max_bytes: largest sum of the files of one request.
    """

    def __init__(self, app: Any, *, host: str, names: Iterable[str], max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes
        self.everywhere = host in ("0.0.0.0", "::", "")
        self.names = {"localhost", "127.0.0.1", "::1", host, *names}
        if self.everywhere:
            self.names |= {socket.gethostname(), socket.getfqdn()}
        self.names = {name.lower() for name in self.names}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes the request on, or answers it."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        from starlette.responses import PlainTextResponse

        status, text = self.refusal(scope)
        if not status:
            return await self.app(scope, receive, send)
        answer = PlainTextResponse(text, status_code=status, headers={"connection": "close"})
        await answer(scope, receive, send)

    def refusal(self, scope: Any) -> tuple[int, str]:
        """Status and text of the answer to a request that is refused; (0, "") = it is not."""
        from starlette.datastructures import Headers

        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self.is_own(_name(f"//{host}")):
            return 400, "this server is not known by that name; --name adds one\n"
        origin = headers.get("origin")
        if str(scope.get("path", "")).rstrip("/").endswith("/openapi.json"):
            return 404, "not found\n"
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "requests of other sites are refused\n"
        return self._size_refusal(scope, headers)

    def is_own(self, name: str) -> bool:
        """Whether a host name without its port is one of this server's."""
        if name in self.names:
            return True
        return self.everywhere and _is_address(name)  # rebinding needs a name

    def _size_refusal(self, scope: Any, headers: Any) -> tuple[int, str]:
        if "transfer-encoding" in headers:
            return 411, "the size of the request has to be said first\n"
        length = headers.get("content-length", "0")
        uploads = str(scope.get("path", "")).rstrip("/").endswith("/upload")
        most = self.max_bytes + ENVELOPE if uploads else WITHOUT_FILES
        if not length.isascii() or not length.isdigit() or int(length[:20]) > most:
            return 413, f"the request is too large: at most {most} bytes are accepted\n"
        return 0, ""


def _name(address: str) -> str:
    """The host name of an address without its port; "" where there is none."""
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
