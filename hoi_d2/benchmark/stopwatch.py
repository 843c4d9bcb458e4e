"""Which part of something takes how long: time is charged to the innermost part that is open."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

CLOCK, CPU = "clock", "cpu"


class Stopwatch:
    """Seconds of named parts, round by round, on the clock and of this process's processor.

    A part that opens inside another one stops the outer one's watch, so the parts of a round add
    up to it. On a GPU each switch waits until the device is done.

    Attributes:
        rounds: for each closed round {"clock": {part: seconds}, "cpu": {part: seconds}}.
    """

    def __init__(self) -> None:
        self.rounds: list[dict[str, dict[str, float]]] = []
        self._open: list[str] = []
        self._since = (0.0, 0.0)

    @contextmanager
    def round(self, rest: str) -> Iterator[None]:
        """One round; what no part takes is charged to `rest`."""
        self.rounds.append({CLOCK: {}, CPU: {}})
        with self.part(rest):
            yield

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Inside a round: what happens here is `name`'s."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def timed(self, function: Callable, name: str) -> Callable:
        """The same function, charged to `name` where it is called inside a round."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._open:
                return function(*args, **kwargs)
            with self.part(name):
                return function(*args, **kwargs)

        return call

    def averages(
        self, kind: str, average: Callable[[Iterable[float]], float] = statistics.median
    ) -> dict[str, float]:
        """Seconds of each part over the rounds; a part that a round lacks took 0 there."""
        names = dict.fromkeys(name for record in self.rounds for name in record[kind])
        return {n: average([r[kind].get(n, 0.0) for r in self.rounds]) for n in names}

    def _switch(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = (time.perf_counter(), time.process_time())
        if self._open:
            for kind, start, end in zip((CLOCK, CPU), self._since, now):
                seconds = self.rounds[-1][kind]
                seconds[self._open[-1]] = seconds.get(self._open[-1], 0.0) + end - start
        self._since = now
