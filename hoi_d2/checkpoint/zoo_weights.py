"""Weights of detectron2's own models, matched by detectron2's rules."""

from __future__ import annotations

import os

from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.weight_files import read_weights


def load_zoo_weights(detector: nn.Module, path: str | os.PathLike, *, sha256: str = "") -> None:
    """Fills a model of detectron2, strictly.

    Args:
        detector: a META_ARCHITECTURE.
        path: a file, or an address that detectron2's PathManager knows (`detectron2://...`).
        sha256: of the file; its beginning is enough.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: it cannot be read or does not fit.
    """
    file = read_weights(path, sha256=sha256)
    incompatible = DetectionCheckpointer(detector)._load_model(
        {**file.extra, "model": file.weights}
    )
    reshaped = [name for name, *_ in incompatible.incorrect_shapes]
    parts = {
        "missing": [name for name in incompatible.missing_keys if name not in reshaped],
        "unexpected": incompatible.unexpected_keys,
        "of another shape": reshaped,
    }
    wrong = [f"{len(n)} {what}: {', '.join(n[:30])}" for what, n in parts.items() if n]
    if wrong:
        raise WeightsError(f"{path} does not fit {type(detector).__name__}: {'; '.join(wrong)}")
