"""Tools that the loaders of all formats share: error messages, checked reads, a cache.

Nothing here needs torch or detectron2, so that scoring a result file starts fast.
"""

from __future__ import annotations

import gc
import os
import pickle
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from hoi_d2.utils import strict_json
from hoi_d2.utils.user_errors import UserError, printable

BOX_MODE_XYXY = 0
"""`detectron2.structures.BoxMode.XYXY_ABS`, written out so that loading needs no detectron2."""

NO_OBJECT = -1
"""The object index, and the object class, of an interaction without a visible object."""

MAX_COORDINATE = 1e6

ID_LIMIT = 1 << 62
"""Ids from here on, positive or negative, do not fit the arrays of the evaluators."""

_SHOWN = 8


@dataclass(frozen=True)
class Problem:
    """One error in a data file.

    Args:
        file: the path of the file.
        record: the record, e.g. `record 12 (HICO_test2015_00000013.jpg)`; empty = whole file.
        field: the field of the record, e.g. `annotations[3].bbox`.
        value: the value of the field.
        expected: a description of a correct value.
        level: `error` = the file cannot be used; `flaw` = the file can be used, but this record is
            wrong and `hoi-d2 data validate` reports it; `warning` = it looks strange, and may be
            right; `note` = a known, harmless peculiarity.
    """

    file: str
    record: str
    field: str
    value: Any
    expected: str
    level: str = "error"

    def __str__(self) -> str:
        value = shown(self.value)
        value = value if len(value) <= 90 else f"{value[:87]}..."
        place = ": ".join(p for p in (self.file, self.record) if p)
        return printable(f"{place}: {self.field} = {value}; expected {self.expected}")

    def as_dict(self) -> dict[str, str]:
        """Returns all fields as strings, for JSON."""
        return {**vars(self), "value": shown(self.value)[:200]}


def shown(value: Any) -> str:
    """Formats a value for a message, however deep or long it is."""
    try:
        return repr(value)
    except RecursionError:
        return f"{type(value).__name__}, nested deeply"
    except ValueError:  # an integer of more digits than Python prints
        return f"{type(value).__name__} with a very long number"


class DataFormatError(UserError, ValueError):
    """A data file cannot be used; `problems` lists all of its errors."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        lines = [str(p) for p in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"... and {len(self.problems) - _SHOWN} more (hoi-d2 data validate)")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple:  # so that it can be pickled in a worker process
        return type(self), (self.problems,)


class Findings:
    """Reads the fields of one file with checks, and collects its problems.

    Every reading method returns None after it has noted a problem, so that one pass over a file
    finds all of its broken records.

    Args:
        file: the path of the file.
        strict: also look for flaws, which takes longer.
    """

    def __init__(self, file: str | os.PathLike, *, strict: bool = False) -> None:
        self.file, self.strict = os.fspath(file), strict
        self.problems: list[Problem] = []
        self.record = ""

    def add(self, field: str, value: Any, expected: str, *, level: str = "error") -> None:
        """Notes a problem of the current record."""
        self.problems.append(Problem(self.file, self.record, field, value, expected, level))

    def raise_errors(self) -> None:
        """Raises DataFormatError if there are errors."""
        errors = [p for p in self.problems if p.level == "error"]
        if errors:
            raise DataFormatError(errors)

    def list_of(self, value: Any, kind: type, field: str) -> list:
        """Checks a list; members of another type are noted and replaced by an empty one."""
        if not isinstance(value, list):
            self.add(field, value, "a list")
            return []
        if all(isinstance(v, kind) for v in value):
            return value
        names: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}
        name = names.get(kind, kind.__name__)
        for i, member in enumerate(value):
            if not isinstance(member, kind):
                self.add(f"{field}[{i}]", member, name)
        return [v if isinstance(v, kind) else kind() for v in value]

    def integer(self, value: Any, low: int, high: int, field: str, what: str) -> int | None:
        """Checks an integer: low <= value < high."""
        if type(value) is int and low <= value < high:
            return value
        self.add(field, value, f"{what}, {low}..{high - 1}" if high > low else f"{what}; got none")
        return None

    def box(self, value: Any, field: str) -> list[float] | None:
        """Checks a box: four finite numbers with x0 <= x1, y0 <= y1 (equal in inclusive forms)."""
        if isinstance(value, list) and len(value) == 4:
            x0, y0, x1, y1 = value
            kinds = {type(x0), type(y0), type(x1), type(y1)}
            if kinds <= {int, float}:
                low, high = -MAX_COORDINATE, MAX_COORDINATE
                if low <= x0 <= x1 <= high and low <= y0 <= y1 <= high:  # also false for NaN
                    return value
        self.add(field, value, "[x0, y0, x1, y1], finite numbers with x0 <= x1 and y0 <= y1")
        return None

    def size(self, width: Any, height: Any, field: str) -> tuple[int, int] | None:
        """Checks an image size, (width, height) in whole pixels; 640.0 is 640."""
        if {type(width), type(height)} <= {int, float}:
            if 0 < width <= MAX_COORDINATE and 0 < height <= MAX_COORDINATE:
                if width == int(width) and height == int(height):
                    return int(width), int(height)
        self.add(field, [width, height], "width and height, positive whole pixels")
        return None

    def name(self, value: Any, field: str) -> str | None:
        """Checks a file name."""
        if isinstance(value, str) and value and "\0" not in value:
            return value
        self.add(field, value, "a file name")
        return None


@contextmanager
def paused_gc() -> Iterator[None]:
    """Pauses garbage collection, which makes loading many small objects four times as fast."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def file_problem(file: str | os.PathLike, field: str, value: Any, expected: str) -> DataFormatError:
    """Makes the error for a file that cannot be used at all."""
    return DataFormatError([Problem(os.fspath(file), "", field, value, expected)])


def read_text(path: str | os.PathLike) -> str:
    """Returns the text of a UTF-8 file.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: the file is not UTF-8 text.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such annotation file: {path}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        if zipfile.is_zipfile(path):
            what = "the file in the archive: unpack it first"
            raise file_problem(path, "content", "a zip archive", what) from None
        raise file_problem(path, f"byte {error.start}", error.reason, "UTF-8 text") from None


def parse_json(text: str, path: str | os.PathLike, *, record: str = "") -> Any:
    """Parses JSON; broken text raises DataFormatError with line and column."""
    try:
        with paused_gc():
            return strict_json.loads(text)
    except strict_json.DuplicateKeyError as error:
        at = error.position
        place = "content" if at is None else strict_json.line_and_column(text, at)
        what = "an object with each key once"
        problem = Problem(os.fspath(path), record, place, f"key {error.key!r} twice", what)
    except JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        problem = Problem(os.fspath(path), record, place, error.msg, "valid JSON")
    except (RecursionError, ValueError) as error:  # nested too deeply, or an integer is too long
        problem = Problem(os.fspath(path), record, "content", str(error), "valid JSON")
    raise DataFormatError([problem])


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file."""
    return parse_json(read_text(path), path)


def image_head(root: str, name: str, image_id: int) -> dict[str, Any]:
    """Returns the first fields of a record, for images annotated without their EXIF orientation."""
    return {"file_name": os.path.join(root, name), "image_id": image_id, "ignore_exif": True}


def entity(box: Sequence[float], category_id: int | None, iscrowd: int = 0) -> dict:
    """One entity of a dataset dict, as detectron2's COCO-style annotation; class None = broken."""
    return {
        "bbox": list(box),
        "bbox_mode": BOX_MODE_XYXY,
        "category_id": category_id,
        "iscrowd": iscrowd,
    }


def number_in_name(name: str) -> int | None:
    """Returns the last number of a file name: 42 of `HICO_test2015_00000042.jpg`."""
    stem = os.path.splitext(os.path.basename(name))[0]
    digits = stem[len(stem.rstrip("0123456789")) :]
    return int(digits) if digits.isascii() and 0 < len(digits) < 19 else None


_CACHE: OrderedDict[tuple, bytes] = OrderedDict()
_CACHE_BYTES = 256 << 20
_SETTLED_SECONDS = 2.0


def cached(
    load: Callable[[], list[dict]], key: tuple, files: Sequence[str | os.PathLike]
) -> list[dict]:
    """Returns `load()`, from a cache as long as the files do not change.

    The cache holds pickled bytes, not the records: callers may change the records, and worker
    processes forked later share 20 MB of bytes instead of copying half a million small objects.
    """
    stats = [os.stat(f) for f in files if os.path.exists(f)]
    key = (*key, *((s.st_mtime_ns, s.st_size, s.st_ino) for s in stats))
    # A file that was just written may be written again within the resolution of its time stamp.
    if any(time.time() - s.st_mtime < _SETTLED_SECONDS for s in stats):
        return load()
    with paused_gc():
        if key in _CACHE:
            _CACHE.move_to_end(key)
            return pickle.loads(_CACHE[key])
        records = load()
        _CACHE[key] = pickle.dumps(records, protocol=pickle.HIGHEST_PROTOCOL)
    while len(_CACHE) > 1 and sum(map(len, _CACHE.values())) > _CACHE_BYTES:
        _CACHE.popitem(last=False)
    return records
