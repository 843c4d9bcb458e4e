"""Parses .mat files in one process that stays: a new one needs half a second to import scipy.

As a script it is that process: for each line of its input, a command as JSON, it runs the parser
and writes exit code and standard error as JSON. Where the parser crashes, it crashes too.
"""

from __future__ import annotations

import io
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock


def kept_parser(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """The reader, whose parsers run in the process that stays."""
    from hoi_d2.data.datasets import mat
    from hoi_d2.evaluation.foreign import upt_mat

    def wrapped(path: Path) -> Any:
        with mock.patch.object(mat.subprocess, "run", _run):
            return read(path)

    assert mat.subprocess is upt_mat.subprocess  # it is patched for both
    return wrapped


@lru_cache(maxsize=1)
def _server(owner: int) -> subprocess.Popen:
    """The process of the process `owner`."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-P", __file__], **pipes)


def _run(command: list[str], *, text: bool = False, **_: Any) -> subprocess.CompletedProcess:
    """What `subprocess.run` gives for a command that runs one of the parsers."""
    server = _server(os.getpid())
    server.stdin.write(json.dumps(command[2:]).encode() + b"\n")
    server.stdin.flush()
    if line := server.stdout.readline():
        code, said = json.loads(line)
    else:
        code, said = server.wait(), ""
        _server.cache_clear()
    return subprocess.CompletedProcess(command, code, b"", said if text else said.encode())


def serve() -> None:
    """Runs the parsers until the input ends."""
    readers: dict[str, Any] = {}
    for line in sys.stdin:
        script, *arguments = json.loads(line)
        if script not in readers:
            readers[script] = runpy.run_path(script)["main"]
        sys.argv = [script, *arguments]
        with redirect_stderr(io.StringIO()) as errors:
            code = readers[script]()
        print(json.dumps([code, errors.getvalue()]), flush=True)


if __name__ == "__main__":
    serve()
