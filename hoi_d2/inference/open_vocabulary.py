"""A predictor whose classes are phrases of the user."""

from __future__ import annotations

from collections.abc import Sequence

from hoi_d2.data.open_vocabulary import open_vocabulary, read_classes
from hoi_d2.inference.predictor import HOIPredictor, read_config
from hoi_d2.protocols import has_capability, meta_architecture
from hoi_d2.registration import register

OPEN_CONFIG = "DEFR-Det/zeroshot-ViT-B-16.yaml"


def open_predictor(
    phrases: Sequence[str], config: str = OPEN_CONFIG, options: Sequence[str] = ()
) -> HOIPredictor:
    """A DEFR-Det whose classes are phrases such as "riding a horse".

    Args:
        phrases: the classes, or text files (.txt) of them.
        config: of a DEFR-Det.
        options: KEY, VALUE, ... overrides.

    Raises:
        FileNotFoundError: a config, a weight file or a file of classes does not exist.
        ValueError: the classes are not usable, or the model has fixed classes.
    """
    try:
        classes = list(open_vocabulary(read_classes(phrases)).phrases)
    except ValueError as error:
        raise ValueError(f"--classes: {error}") from error
    cfg = read_config(config, [*options, "MODEL.HOI.CLASSES", classes])
    register()
    if not has_capability(meta_architecture(cfg), "takes_own_classes"):
        raise ValueError(
            f"--classes: {config} is a {cfg.MODEL.META_ARCHITECTURE}, whose classes are fixed; "
            f"use a DEFR-Det, such as {OPEN_CONFIG}"
        )
    if cfg.MODEL.WEIGHTS:
        raise ValueError(
            "--classes: the checkpoint of MODEL.WEIGHTS has classes of its own. To read images "
            "with its image encoder, name it in MODEL.IMAGE_ENCODER.WEIGHTS, and set MODEL.WEIGHTS "
            'to ""'
        )
    return HOIPredictor(cfg)
