"""A seeded mutator of nested values and of bytes."""

from __future__ import annotations

import copy
import math
import struct
from collections.abc import Hashable, Sequence
from random import Random
from typing import Any

import numpy as np

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 5, 117, 600, 2**31, 2**63, 2**70, 10**400),
    *(0.5, -0.0, 1e-320, 1e308, math.nan, math.inf, -math.inf),
    *("", " ", "a", "person", "7.jpg", "../7.jpg", "/etc/passwd", "N/A", "1", "0.5", "nan"),
    *("\0", "\ud800", "\x1b[2J\x07", "\u202e", "x" * 5000, "9" * 5000, "a\nb", "\\", "é" * 3),
    *([], {}, [[]], [None], [1, 2, 3, 4], [math.nan] * 4, {"id": 1}, {"": None}, ["person"]),
)
_WORDS = (b"\0", b"\xff", b"\xed\xa0\x80", b"NaN", b"1e999", b"-", b"9" * 5000, b"[" * 3000)
_WORDS += (b'"', b"\\u0000", b"\\ud800", b"{", b"}", b",", b":", b"\n", b"\xef\xbb\xbf", b"null")
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(rng: Random, data: Any, odd: Sequence[Any] = ()) -> Any:
    """A copy of a nested value with one to three members changed, removed, repeated or moved.

    Args:
        rng: decides everything.
        data: dicts, lists and arrays of objects in each other.
        odd: what may take the place of a member, beside `ODD`.
    """
    data = [copy.deepcopy(data)]  # the whole of it is a member as well
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        places = _places(data)
        parent, key = rng.choice(places)
        _edit(rng, parent, key, places, odd)
    return data[0] if data else []


def _members(value: Any) -> list[Hashable]:
    """The keys below which a value has members."""
    if isinstance(value, dict):
        return list(value)
    if isinstance(value, list):
        return list(range(len(value)))
    if isinstance(value, np.ndarray) and value.dtype.names:
        return [(i, n) for i in np.ndindex(value.shape) for n in value.dtype.names]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return list(np.ndindex(value.shape))
    return []


def _get(parent: Any, key: Any) -> Any:
    if isinstance(parent, np.ndarray) and parent.dtype.names:
        return parent[key[0]][key[1]]
    return parent[key]


def _set(parent: Any, key: Any, value: Any) -> None:
    if isinstance(parent, np.ndarray) and parent.dtype.names:
        parent[key[0]][key[1]] = value
    else:
        parent[key] = value


def _places(data: Any) -> list[tuple[Any, Any]]:
    found = [(data, key) for key in _members(data)]
    for parent, key in list(found):
        found += _places(_get(parent, key))
    return found


def _edit(rng: Random, parent: Any, key: Any, places: list, odd: Sequence[Any]) -> None:
    action = rng.choice(("set", "near", "near", "move", "remove", "repeat", "rename", "deepen"))
    value = _get(parent, key)
    if action == "near":
        _set(parent, key, _near(rng, value))
    elif action == "move":
        _set(parent, key, copy.deepcopy(_get(*rng.choice(places))))
    elif action == "remove" and isinstance(parent, dict | list):
        del parent[key]
    elif action == "repeat" and isinstance(parent, list):
        parent[key:key] = [copy.deepcopy(value) for _ in range(rng.choice((1, 1, 30)))]
    elif action == "rename" and isinstance(parent, dict):
        parent[rng.choice(("", "id", "a", f"{key}s", f" {key}", "\x1b[2J"))] = parent.pop(key)
    elif action == "deepen":
        for _ in range(rng.choice((1, 1, 2, 300))):
            value = [value] if rng.random() < 0.7 else {"a": value}
        _set(parent, key, value)
    else:
        _set(parent, key, copy.deepcopy(rng.choice((*ODD, *odd, *odd))))


def _near(rng: Random, value: Any) -> Any:
    """Something of the same kind."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return rng.choice((value + 1, value - 1, -value, value * 1000, value / 3, float(value)))
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        return rng.choice((value[:at], value.upper(), f"{value[:at]}\u200b{value[at:]}", value * 2))
    if isinstance(value, list):
        return rng.choice((value[::-1], value[1:], value * 2, value[:1]))
    if isinstance(value, dict):
        return dict(list(value.items())[1:])
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        at = rng.randrange(value.size) if value.size else slice(None)
        value.flat[at] = rng.choice((0, 1, 7, 42, 117))
        kinds = rng.choice(("f8", "f4", "i8", "i2", "u1", ">f8", value.dtype))
        return rng.choice((value, value, value[:1], value.T, value.astype(kinds), -value))
    return str(type(value))


def damaged_bytes(rng: Random, content: bytes, words: Sequence[bytes] = ()) -> bytes:
    """A copy with one to four changes; one in eight is cut off as well."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        _edit_bytes(rng, data, words)
    if rng.random() < 0.125:
        del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def _edit_bytes(rng: Random, data: bytearray, words: Sequence[bytes]) -> None:
    # Heads of binary files decide most: one place in three is among the first bytes.
    at = rng.randrange(min(len(data), 128) + 1 if rng.random() < 0.33 else len(data) + 1)
    length = rng.choice((1, 1, 2, 4, 8, 64, 1000))
    action = rng.choice(("byte", "bit", "number", "word", "insert", "remove", "repeat", "swap"))
    if action == "byte":
        data[at : at + 1] = bytes([rng.randrange(256)])
    elif action == "bit" and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif action == "number":
        form, number = rng.choice(("<I", ">I", "<H", ">H", "<Q", ">Q")), rng.choice(_NUMBERS)
        packed = struct.pack(form, number & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
        data[at : at + len(packed)] = packed
    elif action == "word":
        data[at : at + rng.choice((0, 1, 4))] = rng.choice((*_WORDS, *words, *words))
    elif action == "insert":
        data[at:at] = rng.randbytes(length)
    elif action == "remove":
        del data[at : at + length]
    elif action == "repeat":
        data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
    else:
        other = rng.randrange(len(data) + 1)
        data[at : at + length], data[other : other + length] = (
            data[other : other + length],
            data[at : at + length],
        )
