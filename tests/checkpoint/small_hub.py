"""A Hugging Face hub on 127.0.0.1 that serves the files of a folder, `organisation/name/file`."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40


def handler_of(root: Path) -> type[BaseHTTPRequestHandler]:
    """Answers what `snapshot_download` asks: the files of a model, then each file."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            words = self.path.split("?")[0].strip("/").split("/")
            if words[:2] == ["api", "models"] and (root / "/".join(words[2:4])).is_dir():
                of_tree = "tree" in words[4:]
                content = json.dumps(self.tree(words[2:4]) if of_tree else self.info(words[2:4]))
                self.send(content.encode(), with_body, {"Content-Type": "application/json"})
                return
            file = root / "/".join([*words[:2], *words[4:]])
            if "resolve" in words and file.is_file():
                content = file.read_bytes()
                tag = hashlib.sha256(content).hexdigest()
                self.send(content, with_body, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
                return
            self.send(b"", with_body, {"X-Error-Code": "RepoNotFound"}, status=404)

        def info(self, model: list[str]) -> dict:
            names = [{"rfilename": p.name} for p in sorted((root / "/".join(model)).iterdir())]
            return {"id": "/".join(model), "sha": COMMIT, "siblings": names}

        def tree(self, model: list[str]) -> list[dict]:
            return [
                {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": "0" * 40}
                for p in sorted((root / "/".join(model)).iterdir())
            ]

        def send(
            self, content: bytes, with_body: bool, headers: dict[str, str], *, status: int = 200
        ) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def small_hub(root: Path) -> Iterator[str]:
    """Inside, the hub is served; gives its address for HF_ENDPOINT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(root))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
