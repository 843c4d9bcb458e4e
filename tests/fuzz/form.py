"""What a form of files is for the fuzzer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutate import damaged, damaged_bytes


def as_bytes(content: bytes, rng: Random) -> bytes:
    """The encoder of samples that are bytes already."""
    return content


def as_json(value: Any, rng: Random) -> bytes:
    """JSON as different programs write it."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.7, indent=rng.choice((None, None, 1)))
    if rng.random() < 0.02:
        return text.encode(rng.choice(("utf-16", "utf-8-sig", "utf-32")), "surrogatepass")
    return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Form:
    """A form of files.

    Args:
        name: for the table.
        file: name of the file.
        samples: makes sound contents, nested values or bytes.
        read: reads the file as the commands do, and checks what it gives; raises a `UserError` for
            a file that cannot be used.
        encode: a sample to bytes.
        odd: values that may take the place of a member of a sample.
        words: bytes that mean something in the form.
        beside: writes what belongs to the file into its folder.
        seal: makes a checksum over damaged bytes right again.
        suite: mutants in the test suite; the slow forms have fewer.
        megabytes: a file of a few kB that takes more memory has failed.
    """

    name: str
    file: str
    samples: Callable[[], Sequence[Any]]
    read: Callable[[Path], Any]
    encode: Callable[[Any, Random], bytes] = as_json
    odd: Sequence[Any] = ()
    words: Sequence[bytes] = ()
    beside: Callable[[Path], Any] | None = None
    seal: Callable[[bytes], bytes] | None = None
    suite: int = 200
    megabytes: int = 400


def mutant(form: Form, samples: Sequence[Any], number: int) -> bytes:
    """The mutant of that number; the same on every machine."""
    rng = Random(f"{form.name} {number}")
    sample = rng.choice(samples)
    if isinstance(sample, bytes):
        content = damaged_bytes(rng, sample, form.words)
        return form.seal(content) if form.seal and rng.random() < 0.7 else content
    try:
        content = form.encode(damaged(rng, sample, form.odd), rng)
    except Exception:  # no file can hold that value
        content = damaged_bytes(rng, form.encode(sample, rng), form.words)
    return damaged_bytes(rng, content, form.words) if rng.random() < 0.1 else content
