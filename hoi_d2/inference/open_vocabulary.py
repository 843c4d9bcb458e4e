"""A predictor whose classes are phrases of the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hoi_d2.checkpoint.model_source import model_config, title_of
from hoi_d2.data.open_vocabulary import open_vocabulary, read_classes
from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.protocols import has_capability, meta_architecture
from hoi_d2.registration import register

OPEN_CONFIG = "DEFR-Det/zeroshot-ViT-B-16.yaml"


def open_predictor(
    phrases: Sequence[str],
    model: str = OPEN_CONFIG,
    options: Sequence[str] = (),
    **settings: Any,
) -> HOIPredictor:
    """A DEFR-Det whose classes are phrases such as "riding a horse".

    Args:
        phrases: the classes, or text files (.txt) of them.
        model: a DEFR-Det, named as for `HOIPredictor`.
        options: KEY, VALUE, ... overrides.
        settings: `device`, `batch_size`, `half` of `HOIPredictor`.

    Raises:
        FileNotFoundError: a config, a weight file or a file of classes does not exist.
        ValueError: the classes are not usable, or the model has fixed classes.
    """
    try:
        classes = list(open_vocabulary(read_classes(phrases)).phrases)
    except ValueError as error:
        raise ValueError(f"--classes: {error}") from error
    register()
    cfg = model_config(model, [*options, "MODEL.HOI.CLASSES", classes], pretrained=False)
    if not has_capability(meta_architecture(cfg), "takes_own_classes"):
        raise ValueError(
            f"--classes: {model} is a {cfg.MODEL.META_ARCHITECTURE}, whose classes are fixed; "
            f"use a DEFR-Det, such as {OPEN_CONFIG}"
        )
    if cfg.MODEL.WEIGHTS:
        raise ValueError(
            "--classes: the checkpoint of MODEL.WEIGHTS has classes of its own. To read images "
            "with its image encoder, name it in MODEL.IMAGE_ENCODER.WEIGHTS, and set MODEL.WEIGHTS "
            'to ""'
        )
    return HOIPredictor(cfg, name=title_of(model), **settings)
