"""Who has uploaded what: a file belongs to the browser that sent it, told by a cookie."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any

COOKIE = "hoi_d2_visitor"
EVERYBODY = ""
"""The visitor whose files everybody may see: the examples of the page."""
_TOKEN = re.compile(r"[\w-]{20,64}")
_FILE = re.compile(r"/file[=/](.*)", re.DOTALL)


class UploadOwners:
    """The visitors of each stored file; the same file may have been sent by several.

    Args:
        kept_seconds: after that time a file is forgotten, as it is deleted.
        now: a clock in seconds.
    """

    def __init__(self, kept_seconds: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._kept_seconds, self._now = kept_seconds, now
        self._owners: dict[str, dict[str, float]] = {}

    def add(self, path: str, visitor: str) -> None:
        """Notes that a visitor has uploaded the file."""
        oldest = self._now() - self._kept_seconds
        for known, owners in list(self._owners.items()):
            if max(owners.values()) < oldest:
                del self._owners[known]
        self._owners.setdefault(path, {})[visitor] = self._now()

    def has(self, path: str, visitor: str) -> bool:
        """Whether a visitor may see the file."""
        owners = self._owners.get(path, {})
        return EVERYBODY in owners or (visitor != EVERYBODY and visitor in owners)


def visitor_of(cookies: str) -> str:
    """The token in a `Cookie` header; "" where there is none."""
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None and _TOKEN.fullmatch(found.value) else ""


def file_asked_for(path: str) -> str | None:
    """The stored file that the path of a request names; None = it names none."""
    found = _FILE.search(path)
    return None if found is None else found[1]


class OwnersMiddleware:
    """ASGI middleware that knows visitors again, notes their uploads, and keeps others' from them.

    Args:
        app: the page.
        owners: of its files.
    """

    def __init__(self, app: Any, owners: UploadOwners) -> None:
        self.app, self.owners = app, owners

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes the request on; 404 for a file of somebody else."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        from starlette.datastructures import Headers
        from starlette.responses import PlainTextResponse

        visitor = visitor_of(Headers(scope=scope).get("cookie", ""))
        file = file_asked_for(scope["path"])
        if file is not None and not self.owners.has(file, visitor):
            return await PlainTextResponse("not found\n", 404)(scope, receive, send)
        if not visitor:
            visitor = secrets.token_urlsafe(32)
            send = _with_cookie(send, visitor)
        if scope["path"].rstrip("/").endswith("/upload"):
            send = self._noting(send, visitor)
        return await self.app(scope, receive, send)

    def _noting(self, send: Any, visitor: str) -> Any:
        """A `send` that notes the paths in the answer to an upload."""
        content = bytearray()

        async def noting(message: Any) -> None:
            if message["type"] == "http.response.body":
                content.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    for path in _paths(bytes(content)):
                        self.owners.add(path, visitor)
            await send(message)

        return noting


def _paths(content: bytes) -> list[str]:
    """The paths in gradio's answer; none in another answer, such as an error."""
    try:
        found = json.loads(content)
    except ValueError:
        return []
    return [path for path in found if isinstance(path, str)] if isinstance(found, list) else []


def _with_cookie(send: Any, visitor: str) -> Any:
    """A `send` that hands out the cookie."""
    cookie = f"{COOKIE}={visitor}; Path=/; HttpOnly; SameSite=Strict"

    async def introducing(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {
                **message,
                "headers": [*message["headers"], (b"set-cookie", cookie.encode())],
            }
        await send(message)

    return introducing
