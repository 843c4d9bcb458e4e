"""Reads mutants in a process of its own, which may crash, and notes the answers."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hoi_d2.utils.user_errors import UserError, message, printable
from tests.fuzz.form import Form, mutant

SECONDS = 20
"""A file that takes longer, of the processor's time, has failed."""
SILENCE = 600
"""Seconds without an answer after which the process is ended."""
LONGEST = 20_000
"""Letters of a message."""


class TooSlowError(BaseException):
    """A file took longer than `SECONDS`; no reader takes it for damage of the file."""


@dataclass
class Outcome:
    """The answers of a form.

    Attributes:
        counts: how many mutants loaded, were named, failed.
        failures: number of the mutant -> what happened.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)

    def add(self, number: int, kind: str, text: str) -> None:
        """Notes an answer."""
        self.counts[kind] += 1
        if kind == "failed":
            self.failures[number] = text


def answer(read: Callable[[Path], Any], path: Path) -> tuple[str, str]:
    """("loads", ""), ("named", the message) or ("failed", what happened) of a file."""
    try:
        read(path)
    except UserError as error:
        said = printable(message(error))
        said.encode()
        if path.name not in said and path.parent.name not in said:
            return "failed", f"the message does not name the file: {said[:300]}"
        if len(said) > LONGEST:
            return "failed", f"a message of {len(said)} letters: {said[:300]}"
        return "named", said
    except (Exception, TooSlowError) as error:
        last = traceback.extract_tb(error.__traceback__)[-4:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(last))
        return "failed", f"{type(error).__name__}: {str(error)[:300]} ({where})"
    return "loads", ""


def run_form(form: Form, start: int, stop: int) -> Outcome:
    """The answers to the mutants `start` to `stop` - 1."""
    outcome, number = Outcome(), start
    while number < stop:  # a new process after each crash
        for done, kind, text in _child(form, number, stop):
            outcome.add(done, kind, text)
            number = done + 1
    return outcome


def _child(form: Form, start: int, stop: int) -> Iterator[tuple[int, str, str]]:
    """The answers of one process; the last one says how it died, if it did."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            _work(form, start, stop, writing)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    number, rest = start, b""
    with os.fdopen(reading, "rb", buffering=0) as stream:
        while select.select([stream], [], [], SILENCE)[0]:
            block = stream.read(1 << 16)
            if not block:
                break
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                yield tuple(json.loads(line))
                number = json.loads(line)[0] + 1
        else:
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if number < stop:
        yield number, "failed", f"the process died: status {status}"


def _limit_memory() -> None:
    """A file that asks for all memory of the machine gets an error and not the machine."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + 4 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _work(form: Form, start: int, stop: int, writing: int) -> None:
    signal.signal(signal.SIGPROF, _too_slow)
    _limit_memory()
    samples = form.samples()
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder, open(os.devnull, "w") as nothing:
        path = Path(folder) / form.file
        if form.beside:
            form.beside(path.parent)
        with redirect_stdout(nothing), redirect_stderr(nothing):
            for number in range(start, stop):
                path.write_bytes(mutant(form, samples, number))
                before, line = _peak(), (number, *_timed(form, path))
                if _peak() - before > form.megabytes:
                    line = (number, "failed", f"took {_peak() - before} MB")
                os.write(writing, json.dumps(line).encode() + b"\n")


def _timed(form: Form, path: Path) -> tuple[str, str]:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return answer(form.read, path)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _too_slow(*_: Any) -> None:
    raise TooSlowError(f"longer than {SECONDS} s")


def _peak() -> int:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) >> 10
