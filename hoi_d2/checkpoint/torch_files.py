"""Reads the files of torch.save from anybody: no code of theirs runs."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from hoi_d2.checkpoint.errors import UnreadableFileError, WeightsError

_LARGEST_RATIO = 4  # bytes of the entries of an archive per byte of the archive


def read_torch_file(path: Path) -> dict[str, Any]:
    """What torch.save has written.

    Raises:
        UnreadableFileError: it is damaged, or reading it would run code.
        WeightsError: it holds no dict.
    """
    try:
        if zipfile.is_zipfile(path):
            _check_archive(path)
        with _namespaces_allowed():
            data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error:")[-1].strip().splitlines()[0]
        raise UnreadableFileError(
            f"{path} is refused: it holds more than weights, and reading that would run code from "
            f"the file ({reason}). If you trust whoever made it, take out the weights on a machine "
            "that you can lose: torch.save(torch.load(FILE, weights_only=False)['model'], NEW)"
        ) from error
    except UnreadableFileError:
        raise
    except Exception as error:  # a damaged pickle calls its reader with anything
        what = str(error) or type(error).__name__
        raise UnreadableFileError(f"{path} is damaged or not a weight file: {what}") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{path} holds a {type(data).__name__}, not a dict of weights")
    return data


def _check_archive(path: Path) -> None:
    """Refuses archives that torch.save does not write.

    Raises:
        UnreadableFileError: compressed entries, which may be of any size, or a wrong checksum,
            which torch.load does not look at.
    """
    archive = zipfile.ZipFile(path)
    size = sum(entry.file_size for entry in archive.infolist())
    if size > _LARGEST_RATIO * path.stat().st_size:
        raise UnreadableFileError(
            f"{path} is refused: {size >> 20} MB are packed into {path.stat().st_size >> 10} kB, "
            "and torch.save compresses nothing"
        )
    if broken := archive.testzip():
        raise UnreadableFileError(f"{path} is damaged in {broken}")


def _namespaces_allowed() -> AbstractContextManager[Any]:
    """Lets torch.load read argparse's options, which training checkpoints of DETR hold.

    They are a bag of plain values: reading them runs nothing.
    """
    if hasattr(torch.serialization, "safe_globals"):
        return torch.serialization.safe_globals([argparse.Namespace])
    torch.serialization.add_safe_globals([argparse.Namespace])  # torch 2.4
    return nullcontext()
