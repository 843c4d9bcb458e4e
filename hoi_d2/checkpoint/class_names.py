"""The class names that a weight file was trained on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import nn

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.file_entries import file_entry
from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.model_zoo import local_path


def vocabulary_in(path: str | os.PathLike) -> Vocabulary | None:
    """The vocabulary that a `.pth` or `.safetensors` of this project holds.

    Args:
        path: the file, or an address that detectron2's PathManager knows (`hoi_d2://...`).

    Returns:
        None where the file is of another kind, holds none, or is not there: whoever loads its
        weights says so.
    """
    local = Path(local_path(os.fspath(path)))
    if not local.is_file():
        return None
    content = file_entry(local, "vocabulary")
    if content is None or content == {}:
        return None
    try:
        return Vocabulary.from_dict(content)
    except Exception as error:  # every member may be of any type
        raise WeightsError(f"{path}: the class names in it are damaged ({error!r})") from error


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
