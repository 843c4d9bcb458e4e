"""`hoi_results.json` read and written in blocks, so that memory does not grow with the file.

The reader takes one record after the other with the standard library's C scanner: as fast as ijson
(2.5 s for 716,000 rows), and unlike it able to read the NaN that Python's own `json` writes.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from hoi_d2.evaluation.results import COLUMNS, ResultFormatError

BLOCK = 10_000
"""Rows turned into arrays, or into text, at a time."""

_TEXT = 1 << 22
_LONGEST_RECORD = 1 << 20
_SPACE = re.compile(r"\s*")
_NO_BOX = (float("nan"),) * 4


def read_json_columns(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of the first row and the columns of a result file, `BLOCK` rows at a time.

    Raises:
        ResultFormatError: it is not a JSON list of result rows; names the record.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        records = iterate_json_list(file, str(path))
        start = 0
        while block := list(itertools.islice(records, BLOCK)):
            yield start, _columns(block, path, start)
            start += len(block)


def write_json_columns(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Writes a list of rows, one a line; a NaN object box becomes null."""
    count = len(columns["score"])
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for start in range(0, count, BLOCK):
            block = {n: columns[n][start : start + BLOCK].tolist() for n in COLUMNS}
            block["object_box"] = [None if b[0] != b[0] else b for b in block["object_box"]]
            rows = (dict(zip(COLUMNS, row)) for row in zip(*block.values()))
            file.write(",\n" if start else "\n")
            file.write(",\n".join(map(json.dumps, rows)))
        file.write("\n]\n")


def iterate_json_list(file: TextIO, source: str) -> Iterator[Any]:
    """The items of a JSON file whose outermost value is a list, one at a time.

    Raises:
        ResultFormatError: it is no list, it ends early, something follows it, or an item is not
            JSON.
    """
    decode = json.JSONDecoder().raw_decode
    text = file.read(_TEXT)
    end = _skip(text, 0)
    if text[end : end + 1] != "[":
        found = f"begins with {text[end : end + 20]!r}" if text[end:] else "is empty"
        raise ResultFormatError(
            f"{source}: a result file is a JSON list of rows, [{{...}}, ...]; this {found}"
        )
    end = _skip(text, end + 1)
    if text[end : end + 1] == "]":
        _check_end(text[end + 1 :], file, source)
        return
    for count in itertools.count():
        if len(text) - end < _LONGEST_RECORD:
            text, end = text[end:] + file.read(_TEXT), 0
        try:
            item, end = decode(text, _skip(text, end))
        except json.JSONDecodeError as error:
            near = text[end : end + 60]
            reason = f"is not JSON, or the file ends in it ({error.msg}): {near!r}"
            raise ResultFormatError(f"{source}: record {count} {reason}") from None
        yield item
        end = _skip(text, end)
        separator = text[end : end + 1]
        if separator == "]":
            _check_end(text[end + 1 :], file, source)
            return
        if separator != ",":
            found = repr(text[end : end + 20]) if separator else "the end of the file"
            raise ResultFormatError(f"{source}: {found} after record {count}, expected ',' or ']'")
        end += 1


def _check_end(rest: str, file: TextIO, source: str) -> None:
    """Refuses what follows the list: two lists in one file would lose the rows of the second."""
    while rest and not rest.strip():
        rest = file.read(_TEXT)
    if rest:
        raise ResultFormatError(
            f"{source}: {rest.strip()[:20]!r} after the end of the list; expected one list "
            "with all rows in it"
        )


def _skip(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _columns(block: list[Any], path: Path, start: int) -> dict[str, np.ndarray]:
    try:
        columns = {name: [row[name] for row in block] for name in COLUMNS}
        columns["object_box"] = [_NO_BOX if b is None else b for b in columns["object_box"]]
        return {name: _array(values, name.endswith("_box")) for name, values in columns.items()}
    except (KeyError, TypeError, IndexError, OverflowError):
        raise _first_bad_record(block, path, start) from None


def _array(values: list[Any], are_boxes: bool) -> np.ndarray:
    if are_boxes:
        if set(map(len, values)) != {4}:
            raise TypeError
        values = list(itertools.chain.from_iterable(values))
    if not set(map(type, values)) <= {int, float}:  # numpy would take True for 1
        raise TypeError
    array = np.asarray(values, dtype=np.float64 if are_boxes else None)
    if array.dtype == object:  # integers beyond 64 bits
        raise OverflowError
    return array.reshape(-1, 4) if are_boxes else array


def _first_bad_record(block: list[Any], path: Path, start: int) -> ResultFormatError:
    for index, row in enumerate(block):
        if reason := _why_bad(row):
            return ResultFormatError(f"{path}: record {start + index}: {reason}")
    return ResultFormatError(f"{path}: records {start} to {start + len(block) - 1}: mixed types")


def _why_bad(row: Any) -> str | None:
    if not isinstance(row, dict):
        return f"is {type(row).__name__} {str(row)[:40]!r}, expected an object with {COLUMNS}"
    for name in COLUMNS:
        if name not in row:
            return f"has no {name!r}; a row has {', '.join(COLUMNS)}"
        value = row[name]
        if name.endswith("_box"):
            missing = name == "object_box" and value is None
            sound = missing or (isinstance(value, list) and len(value) == 4)
            sound = sound and all(map(_is_number, value or ()))
        else:
            sound = _is_number(value)
        if not sound:
            expected = "[x, y, width, height]" if name.endswith("_box") else "a number"
            return f"{name} is {repr(value)[:60]}, expected {expected}"
    return None


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < 1 << 63
    return type(value) is float
