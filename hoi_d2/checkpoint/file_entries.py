"""What a weight file holds beside its weights, looked up without reading them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from hoi_d2.checkpoint.weight_files import metadata_of


def file_entry(file: Path, name: str) -> Any:
    """An entry of a `.pth` or `.safetensors` of this project, such as `config`.

    Args:
        file: on this machine.
        name: of the entry.

    Returns:
        None where the file has no such entry, is of another kind or cannot be read: whoever loads
        its weights says what is wrong with it.
    """
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                return metadata_of(tensors).get(name)
        if file.suffix == ".pth":
            data = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            return data.get(name) if isinstance(data, dict) else None
    except Exception:  # damaged, or older than mmap
        return None
    return None
