"""The stopwatch of all benchmarks: time is charged to the innermost part that is open."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from tabulate import tabulate

from hoi_d2.utils.arguments import CommandParser

CLOCK, CPU = "clock", "cpu"
Seconds = dict[str, dict[str, float]]
"""{"clock": {part: seconds}, "cpu": {part: seconds}}."""

# Methods of a model's children that do its work. Those that a child does not have are skipped.
_METHODS = ("forward", "preprocess", "detect", "tokens_before_last", "attend", "encoded")


class Stopwatch:
    """Measures named parts, round by round: seconds on the clock and CPU seconds of this process.

    A part that opens inside another one stops the outer one's watch, so the parts of a round add
    up to it. On a GPU each switch waits until the device is done.

    Attributes:
        rounds: the seconds of each closed round, by kind of time and part.
    """

    def __init__(self) -> None:
        self.rounds: list[Seconds] = []
        self._open: list[str] = []
        self._since = (0.0, 0.0)

    @contextmanager
    def round(self, rest: str) -> Iterator[None]:
        """One round; time that no part takes is charged to `rest`."""
        self.rounds.append({CLOCK: {}, CPU: {}})
        with self.part(rest):
            yield

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Inside a round: the time of this block is charged to `name`."""
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

    @contextmanager
    def methods(self, owners: Iterable[tuple[Any, str, str]]) -> Iterator[None]:
        """Inside, methods are timed.

        Args:
            owners: (object, name of its method, name of the part).
        """
        with ExitStack() as stack:
            for owner, method, part in owners:
                timed = self.timed(getattr(owner, method), part)
                stack.enter_context(replaced(owner, method, timed))
            yield

    def seconds(self, average: Callable[[Iterable[float]], float] = statistics.median) -> Seconds:
        """Average seconds of each part over the rounds; a part that a round lacks took 0 there."""
        names = {
            kind: dict.fromkeys(n for r in self.rounds for n in r[kind]) for kind in (CLOCK, CPU)
        }
        return {
            kind: {n: average([r[kind].get(n, 0.0) for r in self.rounds]) for n in names[kind]}
            for kind in names
        }

    def _switch(self) -> None:
        torch = sys.modules.get("torch")  # scoring needs no torch, so it is not imported here
        if torch and torch.cuda.is_available():
            torch.cuda.synchronize()
        now = (time.perf_counter(), time.process_time())
        if self._open:
            for kind, start, end in zip((CLOCK, CPU), self._since, now):
                seconds = self.rounds[-1][kind]
                seconds[self._open[-1]] = seconds.get(self._open[-1], 0.0) + end - start
        self._since = now


def model_parts(model: Any) -> list[tuple[Any, str, str]]:
    """The methods of a model's children, for `Stopwatch.methods`; a part is a child."""
    return [
        (child, method, name)
        for name, child in model.named_children()
        for method in _METHODS
        if callable(getattr(child, method, None))
    ]


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Inside, an object has another attribute; afterwards it is as it was."""
    own, before = name in vars(owner), getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:  # the class's own method shows again
            delattr(owner, name)


def shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """The share of each part; they add up to 1."""
    total = sum(seconds.values())
    return {name: value / total for name, value in seconds.items()}


def part_table(title: str, seconds: Seconds) -> str:
    """A table of parts: seconds and shares, on the clock and of the CPU."""
    clock, cpu = seconds[CLOCK], seconds[CPU]
    of_clock, of_cpu = shares(clock), shares(cpu)
    rows: list[tuple] = [
        (n, clock[n], f"{of_clock[n]:.1%}", cpu[n], f"{of_cpu[n]:.1%}") for n in clock
    ]
    rows.append(("all", sum(clock.values()), "", sum(cpu.values()), ""))
    headers = (title, "seconds", "share", "cpu seconds", "share")
    return tabulate(rows, headers=headers, floatfmt=".4f")


def argument_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The options of `tools/benchmark.py <name>` that all benchmarks with a config share."""
    parser = CommandParser(description=description)
    add = parser.add_argument
    add("--config-file", default="RmLR/R50.yaml")
    add("--rounds", type=int, default=5, help="how often everything is measured")
    add("--threads", type=int, default=0, help="threads of torch; 0 = torch's default")
    add("--json", default="", help="file to write the figures to")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE ... of the config")
    return parser
