"""Reads MATLAB's nested structs."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from hoi_d2.data.datasets.records import file_problem


def load_mat(path: str | os.PathLike, names: list[str]) -> dict[str, np.ndarray]:
    """Loads some variables of a .mat file.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: the file is not a .mat file, or lacks a variable.
    """
    from scipy.io import loadmat  # slow to import

    if not os.path.isfile(path):
        raise FileNotFoundError(f"no such annotation file: {path}")
    try:
        content = loadmat(path, variable_names=names)
    except Exception as error:  # scipy raises many kinds of errors for damaged files
        what = f"{type(error).__name__}: {error}"
        raise file_problem(path, "content", what, "a MATLAB file (version 7 or older)") from error
    for name in names:
        if name not in content:
            raise file_problem(path, "variables", sorted(content), f"a variable {name}")
    return {name: content[name] for name in names}


def elements(value: Any) -> list[np.void]:
    """The members of a struct array, in MATLAB's order; none for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.names:
        return list(value.ravel(order="F"))
    return []


def member(struct: np.void, name: str) -> Any:
    """A field of one struct, or None if the struct has no such field."""
    return struct[name] if name in (struct.dtype.names or ()) else None


def numbers(value: Any) -> np.ndarray:
    """A numeric array as float64 (n,); empty for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        return value.astype(np.float64).ravel(order="F")
    return np.zeros(0)


def number(value: Any) -> float | None:
    """A numeric array with one member as a number."""
    array = numbers(value)
    return float(array[0]) if array.size == 1 else None


def integer(value: Any) -> int | None:
    """A numeric array with one whole member as an integer."""
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def text(value: Any) -> str | None:
    """A char array, or a cell with one, as a string."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size <= 1:
        return str(value.ravel()[0]) if value.size else ""
    return str(value) if isinstance(value, str) else None
