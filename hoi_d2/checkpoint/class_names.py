"""The class names that a weight file was trained on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from detectron2.utils.file_io import PathManager
from safetensors import safe_open
from torch import nn

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.weight_files import metadata_of
from hoi_d2.data.vocabulary import Vocabulary


def vocabulary_in(path: str | os.PathLike) -> Vocabulary | None:
    """The vocabulary that a `.pth` or `.safetensors` of this project holds.

    Args:
        path: the file, or an address that detectron2's PathManager knows (`hoi_d2://...`).

    Returns:
        None where the file is of another kind, holds none, or is not there: whoever loads its
        weights says so.
    """
    local = Path(PathManager.get_local_path(os.fspath(path)))
    if not local.is_file():
        return None
    content = _vocabulary_entry(local)
    if content is None or content == {}:
        return None
    try:
        return Vocabulary.from_dict(content)
    except Exception as error:  # every member may be of any type
        raise WeightsError(f"{path}: the class names in it are damaged ({error!r})") from error


def _vocabulary_entry(file: Path) -> Any:
    """The entry of the class names; None where there is none or the file cannot be read."""
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                return metadata_of(tensors).get("vocabulary")
        if file.suffix == ".pth":
            data = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            return data.get("vocabulary") if isinstance(data, dict) else None
    except Exception:  # damaged, or older than mmap: loading the weights will say what is wrong
        return None
    return None


def other_names(saved: dict[str, Any] | None, model: nn.Module) -> str:
    """What is wrong with a file's class names for a model; "" = nothing, or one side has none.

    Classes of the same number may still be others, or in another order.

    Args:
        saved: the vocabulary in the file, as `Vocabulary.as_dict` gives it.
        model: that is to take its weights.
    """
    own = getattr(model, "vocabulary", None)
    if not isinstance(saved, dict) or own is None:
        return ""
    for kind in ("objects", "verbs"):
        if not isinstance(saved.get(kind, []), list | tuple):
            return f"has damaged class names: {kind} is no list"
        if kind in saved and tuple(saved[kind]) != tuple(getattr(own, kind)):
            return (
                f"was trained for other {kind} than the model has (vocabulary {own.name}); set "
                "MODEL.HOI.VOCABULARY to the one that it was trained on"
            )
    return ""
