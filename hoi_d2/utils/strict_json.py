"""JSON whose objects have each key once; Python's parser keeps the last of two, silently."""

from __future__ import annotations

import json
from json.decoder import JSONObject  # type: ignore[attr-defined]  # typeshed leaves it out
from typing import Any


class DuplicateKeyError(ValueError):
    """An object has a key twice.

    Args:
        key: the key.
        position: of the object in the text; None = not known.
    """

    def __init__(self, key: str, position: int | None = None) -> None:
        super().__init__(f"the key {key!r} occurs twice in one object")
        self.key, self.position = key, position


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The dict of the members of an object; for `object_pairs_hook` of the standard parser."""
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    raise DuplicateKeyError(next(k for k, _ in pairs if k in seen or seen.add(k)))  # type: ignore[func-returns-value]


def loads(text: str) -> Any:
    """Parses JSON.

    Raises:
        DuplicateKeyError: with the position of the object.
        json.JSONDecodeError, ValueError, RecursionError: as the standard parser.
    """
    try:
        return json.loads(text, object_pairs_hook=unique)
    except DuplicateKeyError as error:
        raise DuplicateKeyError(error.key, _position(text)) from None


def line_and_column(text: str, position: int) -> str:
    """`line 3 column 7` of a position in a text."""
    line, before = text.count("\n", 0, position) + 1, text.rfind("\n", 0, position)
    return f"line {line} column {position - before}"


class _LocatingDecoder(json.JSONDecoder):
    """The standard parser in Python, which knows where each object begins."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=unique)
        self.parse_object = self._object
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def _object(self, text_and_start: tuple[str, int], *rest: Any) -> Any:
        try:
            return JSONObject(text_and_start, *rest)
        except DuplicateKeyError as error:
            if error.position is None:
                error.position = text_and_start[1] - 1
            raise


def _position(text: str) -> int | None:
    try:
        _LocatingDecoder().decode(text)
    except DuplicateKeyError as error:
        return error.position
    except (ValueError, RecursionError):  # deeper than this parser can go
        pass
    return None
