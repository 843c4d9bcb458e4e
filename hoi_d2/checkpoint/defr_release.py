"""DEFR's published checkpoints (drjinying/hts): names of the release -> ours.

The image tower has the names of OpenAI's CLIP below `visual_encoder.visual.`. The classifier is a
matrix `classifier` with a trained `logit_scale` (rows and features are normalised), or, in the
`-linear` variants, a layer with weight and bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from hoi_d2.checkpoint.errors import WeightsError

LAYOUT = "defr_release"
TOWER = "visual_encoder.visual."
_TIMM_TOWER = "visual_encoder."
_SCALE = "logit_scale"


def is_defr_release(names: Iterable[str]) -> bool:
    """Whether the names are those of DEFR's release."""
    return any(name.startswith(_TIMM_TOWER) for name in names)


def tower_of(weights: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """The image tower in the names of OpenAI's CLIP, `visual.conv1.weight` and so on.

    Raises:
        WeightsError: the tower is one of the release's ImageNet models, whose layout is not known.
    """
    tower = {n.removeprefix(_TIMM_TOWER): t for n, t in weights.items() if n.startswith(TOWER)}
    if not tower:
        raise WeightsError(
            f"{source} is a DEFR with an ImageNet image tower (the release's vit.py), whose layout "
            "is not supported; its checkpoints with CLIP's tower are"
        )
    return tower


def classifier_of(weights: Mapping[str, Tensor], *, head: str, source: str) -> dict[str, Tensor]:
    """`weight`, and `bias` of the linear variants.

    Args:
        weights: of the file.
        head: "cosine" or "linear", the model's own.
        source: of the weights, for messages.

    Raises:
        WeightsError: the file has no classifier, or one of the other kind.
    """
    rows = weights.get("classifier", weights.get("classifier.weight"))
    if rows is None:
        raise WeightsError(f"{source} has no classifier: it is not a whole DEFR")
    bias = weights.get("classifier.bias")
    kind = "cosine" if bias is None else "linear"
    if kind != head:
        raise WeightsError(
            f"{source} has a {kind} classifier, the model a {head} one: set MODEL.CLASSIFIER.HEAD "
            f"to {kind}"
        )
    return {"weight": rows} if bias is None else {"weight": rows, "bias": bias}


def scale_of(weights: Mapping[str, Tensor]) -> float | None:
    """gamma = exp(logit_scale); None where the file has none."""
    return float(weights[_SCALE].double().exp()) if _SCALE in weights else None
