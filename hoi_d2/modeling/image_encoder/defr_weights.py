"""DEFR's published weights under the names that DEFR and DEFR-Det share."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hoi_d2.checkpoint.defr_release import classifier_of, is_defr_release, scale_of, tower_of


def released_weights(model: Any, file: Any) -> dict[str, Tensor]:
    """The weights of a file under a model's names; the model's own files stay as they are.

    The scale of a released file becomes the classifier's. Its tower has no visual projection, so
    the encoder keeps none: classes of other texts cannot be added to such a model.

    Args:
        model: DEFR or DEFR-Det.
        file: a `WeightFile`.

    Raises:
        WeightsError: a released file of another image tower or classifier.
    """
    if not is_defr_release(file.weights):
        return file.weights
    from hoi_d2.modeling.image_encoder.weights import OWN_PREFIX, encoder_weights  # takes timm

    encoder, classifier = model.image_encoder, model.classifier
    tower = encoder_weights(encoder, tower_of(file.weights, source=file.name), source=file.name)
    head = classifier_of(file.weights, head=classifier.head, source=file.name)
    if (scale := scale_of(file.weights)) is not None:
        classifier.scale = scale
    encoder.visual_projection = None
    return {
        **{f"{OWN_PREFIX}{name}": tensor for name, tensor in tower.items()},
        **{f"classifier.{name}": tensor for name, tensor in head.items()},
    }
