"""Reads and writes result files (`.json`, `.npz`; reads `.parquet`), metrics and tables.

JSON is parsed by the standard library with a hook that turns every 10,000 rows into arrays: 8.5 s
of CPU time and a peak of 433 MB for 716,201 rows in 206 MB, against 11.4 s and 796 MB of plain
`json.load`. ijson needs 11.0 s and 188 MB, but refuses the NaN that Python's `json` writes.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hoi_d2.data.datasets.records import shown
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation import prediction_table
from hoi_d2.evaluation.foreign.forms import PPDM, form_on_disk, how_to_convert, is_ppdm
from hoi_d2.evaluation.results import COLUMNS, HOIResults, ResultFormatError
from hoi_d2.utils.strict_json import DuplicateKeyError, unique

BLOCK = 10_000
"""Rows turned into arrays, or into text, at a time."""

_NO_BOX = (float("nan"),) * 4
_NAMES = frozenset(COLUMNS)
_TAKEN = object()  # stands in the parsed list for a row that `_Rows` has taken


def read_results(path: str | Path, image_ids: np.ndarray | None = None) -> HOIResults:
    """Reads `hoi_results.json`, its `.npz` form, or the `.parquet` of `hoi-d2 predict`.

    Args:
        path: of the file.
        image_ids: (N,) of a `.parquet`, only the rows of these images: the others need no memory.

    Raises:
        ResultFormatError: the file is not a result file; names the record.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if form := form_on_disk(path):
        raise ResultFormatError(how_to_convert(path, form))
    if not path.is_file():
        raise FileNotFoundError(f"no such result file: {path}")
    if path.suffix == prediction_table.SUFFIX:
        return prediction_table.read_results(path, image_ids)
    if path.suffix == ".npz":
        return HOIResults.from_columns(read_npz(path, COLUMNS), source=str(path))
    return _read_json(path)


def write_results(
    path: str | Path, results: HOIResults, *, vocabulary: Vocabulary | None = None
) -> None:
    """Writes `.json` or `.npz` by the suffix, under a temporary name until the file is complete.

    Args:
        path: of the file; its folder is made.
        results: the rows.
        vocabulary: each row of a `.json` also tells the names `verb` and `object` by it, which
            readers of result files do not look at.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    if path.suffix == ".npz":
        with partial.open("wb") as file:
            columns: dict[str, Any] = dict(results.to_columns())
            np.savez_compressed(file, **columns)
    else:
        _write_json(partial, results.to_columns(), vocabulary)
    partial.replace(path)


def read_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz file that have one of the names.

    Raises:
        FileNotFoundError: no such file.
        ResultFormatError: it is not an .npz file, or an array does not hold numbers.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such result file: {path}")
    if not zipfile.is_zipfile(path):  # numpy would try to unpickle it and suggest allow_pickle
        raise ResultFormatError(f"{path}: not a complete .npz file as numpy.savez writes it")
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in (n for n in names if n in archive.files):
                arrays[name] = _numeric(archive[name])
    except Exception as error:  # zipfile, zlib, pickle and numpy each raise their own
        place = next((n for n in names if n not in arrays), "")
        what = "holds Python objects" if "allow_pickle" in str(error) else f"unreadable ({error})"
        raise ResultFormatError(f"{path}: column {place} {what}, expected numbers") from error
    return arrays


def _numeric(member: Any) -> np.ndarray:
    """Returns a member of an .npz file that is an array; numpy gives the bytes of any other."""
    if not isinstance(member, np.ndarray) or member.dtype.kind == "V":
        raise TypeError(f"{getattr(member, 'dtype', 'no array of numpy')}")
    return member


def write_metrics(path: str | Path, metrics: Mapping[str, float]) -> None:
    """Writes one flat JSON object; a metric that is not defined becomes null."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {k: None if math.isnan(v) else v for k, v in metrics.items()}
    path.write_text(json.dumps(values, indent=2) + "\n")


def write_csv(path: str | Path, header: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Writes a table."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _write_json(
    path: Path, columns: dict[str, np.ndarray], vocabulary: Vocabulary | None = None
) -> None:
    """Writes a list of rows, one a line; a NaN object box becomes null."""
    count = len(columns["score"])
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for start in range(0, count, BLOCK):
            block = {n: columns[n][start : start + BLOCK].tolist() for n in COLUMNS}
            block["object_box"] = [None if b[0] != b[0] else b for b in block["object_box"]]
            names: tuple[str, ...] = COLUMNS
            if vocabulary is not None:
                block |= _names_of(block, vocabulary)
                names = tuple(block)
            rows = (dict(zip(names, row)) for row in zip(*block.values()))
            file.write(",\n" if start else "\n")
            file.write(",\n".join(map(json.dumps, rows)))
        file.write("\n]\n")


def _names_of(block: dict[str, list], vocabulary: Vocabulary) -> dict[str, list[str | None]]:
    objects = [vocabulary.objects[i] if i >= 0 else None for i in block["object_category_id"]]
    return {"verb": [vocabulary.verbs[i] for i in block["verb_id"]], "object": objects}


class _Rows:
    """Collects the rows of a JSON file in blocks of arrays while it is parsed."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._block: list[dict[str, Any]] = []
        self._parts: list[HOIResults] = []
        self.count = 0

    def hook(self, pairs: list[tuple[str, Any]]) -> Any:
        """Stores a row and gives the parser a placeholder; other objects are returned unchanged."""
        value = unique(pairs)
        if not value.keys() >= _NAMES:
            return value
        self._block.append(value)
        self.count += 1
        if len(self._block) == BLOCK:
            self._flush()
        return _TAKEN

    def join(self) -> HOIResults:
        """Returns all rows, in order."""
        self._flush()
        return HOIResults.concatenate(self._parts)

    def _flush(self) -> None:
        start = self.count - len(self._block)
        columns = _columns(self._block)
        self._parts.append(HOIResults.from_columns(columns, source=self._source, first_row=start))
        self._block = []


class _BadRecordError(Exception):
    """A block of rows has a value of the wrong type."""


def _read_json(path: Path) -> HOIResults:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    rows = _Rows(str(path))
    try:
        items = json.loads(text, object_pairs_hook=rows.hook)
        _check_items(items, text, path)
        found = rows.join()
    except _BadRecordError:  # parsed again as it is, to name the first bad record
        raise _first_bad_record(json.loads(text), path) from None
    except ResultFormatError:
        raise
    except DuplicateKeyError as error:
        raise ResultFormatError(f"{path}: record {rows.count}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise _not_json(error, text, rows.count, path) from None
    if len(found) != len(items):
        raise ResultFormatError(f"{path}: there is a row within another row")
    return found


def _check_items(items: Any, text: str, path: Path) -> None:
    if not isinstance(items, list):
        raise ResultFormatError(
            f"{path}: a result file is a JSON list of rows, [{{...}}, ...]; this begins with "
            f"{text.strip()[:20]!r}"
        )
    if any(item is not _TAKEN for item in items):
        raise _BadRecordError


def _not_json(error: Exception, text: str, count: int, path: Path) -> ResultFormatError:
    """Returns the error for a file that is cut off, empty or otherwise no JSON."""
    if not text.strip():
        return ResultFormatError(
            f"{path}: a result file is a JSON list of rows, [{{...}}, ...]; this is empty"
        )
    place = getattr(error, "pos", 0)
    reason = f"{error}, at {text[place : place + 40]!r}" if text[place:] else "the file ends early"
    return ResultFormatError(f"{path}: not a JSON list of rows, after {count} rows: {reason}")


def _columns(block: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    try:
        columns = {name: [row[name] for row in block] for name in COLUMNS}
        columns["object_box"] = [_NO_BOX if b is None else b for b in columns["object_box"]]
        return {name: _array(values, name.endswith("_box")) for name, values in columns.items()}
    except (TypeError, OverflowError):
        raise _BadRecordError from None


def _array(values: list[Any], are_boxes: bool) -> np.ndarray:
    if are_boxes and values:
        if set(map(len, values)) != {4}:
            raise TypeError
        values = list(itertools.chain.from_iterable(values))
    if not set(map(type, values)) <= {int, float}:  # numpy would take True for 1
        raise TypeError
    array = np.asarray(values, dtype=np.float64 if are_boxes else None)
    if array.dtype == object:  # integers beyond 64 bits
        raise OverflowError
    return array.reshape(-1, 4) if are_boxes else array


def _first_bad_record(items: list[Any], path: Path) -> ResultFormatError:
    if is_ppdm(items):
        return ResultFormatError(how_to_convert(path, PPDM))
    for index, row in enumerate(items):
        if reason := _why_bad(row):
            return ResultFormatError(f"{path}: record {index}: {reason}")
    return ResultFormatError(f"{path}: the records have columns of mixed types")


def _why_bad(row: Any) -> str | None:
    if not isinstance(row, dict):
        return f"is {type(row).__name__} {shown(row)[:40]!r}, expected an object with {COLUMNS}"
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
            return f"{name} is {shown(value)[:60]}, expected {expected}"
    return None


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < 1 << 63
    return type(value) is float
