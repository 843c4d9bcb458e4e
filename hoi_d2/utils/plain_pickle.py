"""Reads a pickle of lists, dicts, numbers, strings and numpy arrays, and nothing else.

`pickle.load` runs whatever a file asks for. Here every name in the file is looked up in a short
list of stand-ins of this module; numpy itself is not called by the file, because its constructors
trust their arguments.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

_TYPES = frozenset(f"{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)) | {"b1"}


class _Dtype:
    """Stands for `numpy.dtype`: the type of plain numbers."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def numpy(self) -> np.dtype:
        code = self.code.lstrip("<>|=")
        if code not in _TYPES or self.order not in ("<", ">", "|", "="):
            raise ValueError(f"an array of {self.code!r}, expected numbers")
        return np.dtype(f"{self.order}{code}")


class PlainArray:
    """Stands for an array that numpy would rebuild; `numpy()` gives it, with checked sizes."""

    def __init__(self, *_: Any) -> None:
        self.state: tuple = (1, (0,), _Dtype("f8"), False, b"")

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def numpy(self) -> np.ndarray:
        _, shape, dtype, fortran, data = self.state
        kind = dtype.numpy()
        content = data.encode("latin1") if isinstance(data, str) else bytes(data)
        found = np.frombuffer(content, dtype=kind)
        return found.reshape([int(n) for n in shape], order="F" if fortran else "C")


class _ArrayType:
    """Stands for `numpy.ndarray`, which numpy's own pickles name and never call."""

    def __init__(self, *_: Any) -> None:
        raise ValueError("an array made of raw memory")


def _from_buffer(buffer: Any, dtype: _Dtype, shape: tuple, order: str) -> PlainArray:
    array = PlainArray()
    array.state = (1, shape, dtype, order == "F", bytes(buffer))
    return array


def _scalar(dtype: _Dtype, data: Any) -> PlainArray:
    array = PlainArray()
    array.state = (1, (), dtype, False, data)
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Stands for `codecs.encode`, by which older protocols write bytes."""
    if encoding != "latin1":
        raise ValueError(f"the encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
}
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS[f"{_core}.multiarray", "_reconstruct"] = PlainArray
    _STAND_INS[f"{_core}.multiarray", "scalar"] = _scalar
    _STAND_INS[f"{_core}.numeric", "_frombuffer"] = _from_buffer


_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]


class _Unpickler(_PythonUnpickler):
    """The unpickler in Python: the one in C sets aside as much memory as a file asks for."""

    dispatch = dict(_PythonUnpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def load_bytearray8(self) -> None:
        """Reads what is there, where the original makes room for what is announced."""
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(length)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def read_plain_pickle(path: str | Path, *, error_type: type[Exception]) -> Any:
    """The content of a file; its arrays are `PlainArray`s.

    Raises:
        error_type: it is damaged, or asks for anything but plain values.
    """
    try:
        content = io.BytesIO(Path(path).read_bytes())
        return _Unpickler(content, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise error_type(
            f"{path} is refused: it holds more than plain values ({error}), and reading that would "
            "run code from the file"
        ) from error
    except OSError:
        raise
    except Exception as error:  # a damaged pickle calls the stand-ins with anything
        raise error_type(f"{path} is damaged ({error})") from error


def numbers(value: Any) -> np.ndarray:
    """An array, a number or a list of numbers as float64.

    Raises:
        ValueError: it is none of these.
    """
    try:
        if isinstance(value, PlainArray):
            return value.numpy().astype(np.float64)
        if isinstance(value, list | tuple):
            return np.array([float(numbers(v)) for v in value])
        if type(value) in (int, float):
            return np.array(float(value))
    except Exception as error:  # the state of a stand-in may be anything
        raise ValueError(str(error)) from None
    raise ValueError(f"{type(value).__name__}, expected numbers")
