"""A Hugging Face hub on 127.0.0.1 with a few small models, and the faults of networks."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Files = dict[str, bytes]
_LARGE = (".safetensors", ".bin")  # kept by their SHA-256, as in Git LFS
_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?$")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")


def commit_of(number: int) -> str:
    """A commit id."""
    return f"{number:040x}"


@dataclass
class LocalHub:
    """The hub.

    Attributes:
        models: repository -> commit -> files.
        branches: repository -> branch -> commit.
        cut_at: name of a file -> bytes after which its next connection breaks.
        replaced: name of a file -> what is sent in its place.
        status: answered to every request in place of what was asked for; 0 = none.
        page: sent in place of descriptions of models, as a proxy does.
        requests: method, path and range of what came.
    """

    models: dict[str, dict[str, Files]] = field(default_factory=dict)
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    cut_at: dict[str, int] = field(default_factory=dict)
    replaced: dict[str, bytes] = field(default_factory=dict)
    status: int = 0
    page: bytes = b""
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, repository: str, files: Files, *, commit: str, branch: str = "main") -> None:
        """Adds a commit, to which the branch then points."""
        self.models.setdefault(repository, {})[commit] = files
        self.branches.setdefault(repository, {})[branch] = commit

    def start(self) -> None:
        """Serves from now on."""
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Answers nothing any more."""
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def ranges(self) -> list[str]:
        """Of the requests that asked for a part of a file."""
        return [range_ for _, _, range_ in self.requests if range_]


def etag(name: str, content: bytes) -> str:
    """SHA-256 of large files, git's SHA-1 of the others."""
    if name.endswith(_LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if self.hub.status:
            self._send(self.hub.status, b"")
        elif api := _API.match(path):
            self._describe(api[1], api[2] or "main")
        elif file := _FILE.match(path):
            self._file(file[1], file[2], file[3], with_body=with_body)
        else:
            self._send(404, b"")

    def _commit(self, repository: str, revision: str) -> str | None:
        """The commit; None = the answer was an error."""
        if repository not in self.hub.models:
            gated = repository.startswith("gated/")
            kind = "GatedRepo" if gated else "RepoNotFound"
            self._send(403 if gated else 404, b"", {"X-Error-Code": kind})
            return None
        commit = self.hub.branches[repository].get(revision, revision)
        if commit not in self.hub.models[repository]:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit

    def _describe(self, repository: str, revision: str) -> None:
        if self.hub.page:
            self._send(200, self.hub.page, {"Content-Type": "text/html"})
        elif commit := self._commit(repository, revision):
            files = self.hub.models[repository][commit]
            content = {"id": repository, "sha": commit, "siblings": []}
            content["siblings"] = [_sibling(name, files[name]) for name in files]
            self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _file(self, repository: str, revision: str, name: str, *, with_body: bool) -> None:
        commit = self._commit(repository, revision)
        if commit is None:
            return
        files = self.hub.models[repository][commit]
        if name not in files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        start = int((self.headers.get("Range") or "bytes=0-")[len("bytes=") :].partition("-")[0])
        content = self.hub.replaced.get(name, files[name])
        headers = {"ETag": f'"{etag(name, files[name])}"', "X-Repo-Commit": commit}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.hub.cut_at.pop(name, None) if with_body else None
        self._send(206 if start else 200, content[start:], headers, cut=cut, body=with_body)

    def _send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        cut: int | None = None,
        body: bool = True,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": "0" * 40}
    if name.endswith(_LARGE):
        entry["lfs"] = {"sha256": etag(name, content), "size": len(content), "pointerSize": 130}
    return entry
