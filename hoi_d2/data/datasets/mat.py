"""Reads MATLAB's nested structs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from hoi_d2.data.datasets.records import file_problem

_READER = os.path.join(os.path.dirname(__file__), "mat_reader.py")
_EXPECTED = "a MATLAB file (version 7 or older) that is not damaged"


def load_mat(path: str | os.PathLike, names: list[str]) -> dict[str, np.ndarray]:
    """Loads some variables of a .mat file.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: the file is not a .mat file, or lacks a variable.
    """
    content = _parse(path, names)
    for name in names:
        if name not in content:
            raise file_problem(path, "variables", sorted(content[""]), f"a variable {name}")
    return {name: content[name] for name in names}


def mat_variables(path: str | os.PathLike) -> list[str]:
    """Returns the names of the variables of a .mat file.

    Raises:
        FileNotFoundError: the file does not exist.
        DataFormatError: the file is not a .mat file.
    """
    return _parse(path, [])[""]


def _parse(path: str | os.PathLike, names: list[str]) -> dict[str, Any]:
    """Returns the output of `mat_reader`, which runs in a separate process that may crash."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no such annotation file: {os.fspath(path)}")
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "found")
        command = [sys.executable, "-P", _READER, os.path.abspath(path), output, *names]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            said = lines[-1] if lines and done.returncode > 0 else "the parser crashed"
            raise file_problem(path, "content", said, _EXPECTED)
        with open(output, "rb") as file:
            return pickle.load(file)  # written by the line above, not by the user


def elements(value: Any) -> list[np.void]:
    """Returns the members of a struct array, in MATLAB's order; none for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.names:
        return list(value.ravel(order="F"))
    return []


def member(struct: np.void, name: str) -> Any:
    """Returns a field of one struct, or None if the struct has no such field."""
    return struct[name] if name in (struct.dtype.names or ()) else None


def numbers(value: Any) -> np.ndarray:
    """Converts a numeric array to float64 (n,); empty for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        return value.astype(np.float64).ravel(order="F")
    return np.zeros(0)


def number(value: Any) -> float | None:
    """Converts a numeric array with one member to a number."""
    array = numbers(value)
    return float(array[0]) if array.size == 1 else None


def integer(value: Any) -> int | None:
    """Converts a numeric array with one whole member to an integer."""
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def text(value: Any) -> str | None:
    """Converts a char array, or a cell with one, to a string."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size <= 1:
        return str(value.ravel()[0]) if value.size else ""
    return str(value) if isinstance(value, str) else None
