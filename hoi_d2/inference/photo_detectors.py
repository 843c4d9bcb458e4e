"""Which detector finds people and objects for the model of photographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hoi_d2.inference.predictor import DEFAULT_CONFIG, HOIPredictor

PHOTO_DETECTORS = {
    "nanodet-g": DEFAULT_CONFIG,
    "detr-r50": "photo/photo_detr_r50.yaml",
    "detr-r50-bf16": "photo/photo_detr_r50.yaml",
}
"""Name of the detector -> config of the model of photographs with it."""
_OPTIONS = {"detr-r50-bf16": ("MODEL.DETR.PRECISION", "bfloat16")}


def photo_predictor(detector: str, options: Sequence[str] = (), **settings: Any) -> HOIPredictor:
    """The model of photographs with one of `PHOTO_DETECTORS`.

    The layout model looks at boxes and classes alone, so it goes with any detector of COCO.

    Args:
        detector: name of the detector.
        options: KEY, VALUE, ... overrides.
        settings: `device`, `batch_size`, `half` of `HOIPredictor`.

    Raises:
        MissingFilesError: the detector's weights are neither here nor on a hub that can be
            reached; names them and the command that downloads them.
    """
    own = _OPTIONS.get(detector, ())
    return HOIPredictor.from_config(PHOTO_DETECTORS[detector], [*own, *options], **settings)
