"""DEFR's classifier: one row per HOI class, initialised with the vector of the class's sentence.

DEFR (Jin et al., arXiv 2203.05676), section 3.1 and equation 1: s_i = gamma x.w_i + b_i.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.hub import is_hub_id
from hoi_d2.checkpoint.weight_files import local_files, read_weights
from hoi_d2.data.catalog import vocabulary_of
from hoi_d2.model_zoo.published import HubModel
from hoi_d2.modeling.language.class_rows import adjusted_rows, factor_rows, random_rows
from hoi_d2.modeling.language.prompts import hoi_sentences, interaction_classes
from hoi_d2.modeling.language.text_encoder import (
    encode_sentences,
    encoder_options,
    encoding_models,
)

logger = logging.getLogger(__name__)
INITS = ("language", "random", "factor")
_PROJECTION = "visual_projection.weight"  # of transformers' CLIP, (E, D)


class CosineClassifier(nn.Module):
    """gamma times the cosine of feature and row; the lengths of both are ignored.

    Args:
        rows: (C, D) first weights.
        scale: gamma.
        is_random: the rows come from no language model.
        stand_in: why they do not, where the config names one; "" otherwise.
    """

    head = "cosine"

    def __init__(
        self, rows: Tensor, *, scale: float, is_random: bool = False, stand_in: str = ""
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(rows.clone())
        self.scale, self.is_random, self.stand_in = scale, is_random, stand_in

    def forward(self, features: Tensor) -> Tensor:
        """Computes scaled logits (N, C) in float32 from image features (N, D).

        Not in half precision: at gamma 100, bfloat16 would be wrong by 0.4.
        """
        with torch.autocast(features.device.type, enabled=False):
            rows = F.normalize(self.weight.float(), dim=1)
            return self.scale * F.linear(F.normalize(features.float(), dim=1), rows)


class LinearClassifier(nn.Module):
    """gamma x.w + b with unnormalised rows and a bias that starts at zero.

    Args:
        rows: (C, D) first weights.
        scale: gamma.
        normalize_features: to length 1, before anything else.
        is_random, stand_in: as of `CosineClassifier`.
    """

    head = "linear"

    def __init__(
        self,
        rows: Tensor,
        *,
        scale: float,
        normalize_features: bool = True,
        is_random: bool = False,
        stand_in: str = "",
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(rows.clone())
        self.bias = nn.Parameter(rows.new_zeros(len(rows)))
        self.scale, self.normalize_features = scale, normalize_features
        self.is_random, self.stand_in = is_random, stand_in

    def forward(self, features: Tensor) -> Tensor:
        """Computes scaled logits (N, C) in float32 from image features (N, D)."""
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if self.normalize_features:
                features = F.normalize(features, dim=1)
            return self.scale * F.linear(features, self.weight.float()) + self.bias.float()


def build_hoi_classifier(
    cfg: CfgNode, *, width: int, visual_projection: Tensor | None = None
) -> CosineClassifier | LinearClassifier:
    """Builds the head of `cfg.MODEL.CLASSIFIER` for the HOI classes of the vocabulary.

    Args:
        cfg: the whole config.
        width: D of the image features.
        visual_projection: (D, E) of the image encoder, where it is a CLIP ViT.

    Returns:
        (N, D) -> (N, C) scaled logits.

    Raises:
        ValueError: a key has a value that it cannot have, or text vectors and image features do
            not fit; says what would.
    """
    node = cfg.MODEL.CLASSIFIER
    vocabulary = vocabulary_of(cfg)
    sentences = hoi_sentences(vocabulary, template=cfg.MODEL.LANGUAGE.TEMPLATE)
    if node.INIT not in INITS:
        raise ValueError(f"MODEL.CLASSIFIER.INIT must be one of {INITS}, got {node.INIT!r}")
    # A checkpoint brings its own rows; the text encoder may not be there any more.
    is_random, stand_in = node.INIT != "language" or bool(cfg.MODEL.WEIGHTS), ""
    if node.INIT == "factor":
        if vocabulary.phrases:
            raise ValueError("own classes have no factors: set MODEL.CLASSIFIER.INIT to language")
        rows = factor_rows(torch.from_numpy(interaction_classes(vocabulary)), width)
    elif is_random:
        rows = random_rows(len(sentences), width, head=node.HEAD)
    else:
        rows, stand_in = language_rows(
            cfg, sentences, width=width, visual_projection=visual_projection
        )
        rows = adjusted_rows(rows, node.ROWS)
    is_random |= bool(stand_in)
    if node.HEAD == "cosine":
        return CosineClassifier(rows, scale=node.SCALE, is_random=is_random, stand_in=stand_in)
    if node.HEAD == "linear":
        return LinearClassifier(
            rows,
            scale=node.SCALE,
            normalize_features=node.NORMALIZE_FEATURES,
            is_random=is_random,
            stand_in=stand_in,
        )
    raise ValueError(f'MODEL.CLASSIFIER.HEAD must be "cosine" or "linear", got {node.HEAD!r}')


def classifier_models(cfg: CfgNode) -> list[HubModel]:
    """The models of the Hugging Face hub that the rows of the classifier are made with."""
    node, language = cfg.MODEL.CLASSIFIER, cfg.MODEL.LANGUAGE
    if node.INIT != "language" or cfg.MODEL.WEIGHTS:
        return []
    models = encoding_models(
        hoi_sentences(vocabulary_of(cfg), template=language.TEMPLATE), **encoder_options(cfg)
    )
    if language.POOLING == "clip" and is_hub_id(node.PROJECTION):
        models.append(HubModel(node.PROJECTION))
    return models


def language_rows(
    cfg: CfgNode,
    sentences: Sequence[str],
    *,
    width: int,
    visual_projection: Tensor | None = None,
) -> tuple[Tensor, str]:
    """Unit vectors of sentences in the space of the image features.

    CLIP's text vectors T (C, E) meet its image feature behind the visual projection P (D, E), which
    the image encoder leaves out: x P . t = x . (t P^T), so the rows are T P^T.

    Args:
        cfg: `MODEL.LANGUAGE` names the encoder, `MODEL.CLASSIFIER.PROJECTION` the projection.
        sentences: one a class; any, not only those of a dataset.
        width: D of the image features.
        visual_projection: (D, E) of the image encoder, if it has one.

    Returns:
        (C, D), and why they are random; "" = they are not.

    Raises:
        ValueError: the widths do not fit.
    """
    language = cfg.MODEL.LANGUAGE
    encoded = encode_sentences(sentences, **encoder_options(cfg))
    rows, stand_in = encoded.sentence.float(), encoded.stand_in
    if language.POOLING == "clip":
        projection = visual_projection
        if cfg.MODEL.CLASSIFIER.PROJECTION:
            projection, why = read_projection(
                cfg.MODEL.CLASSIFIER.PROJECTION, shape=(width, rows.shape[1])
            )
            stand_in = stand_in or why
        if projection is not None and projection.shape == (width, rows.shape[1]):
            rows = rows @ projection.float().cpu().T
    if rows.shape[1] != width:
        raise ValueError(_misfit(cfg, rows.shape[1], width, visual_projection))
    return F.normalize(rows, dim=1), stand_in


def read_projection(source: str, *, shape: tuple[int, int]) -> tuple[Tensor, str]:
    """Reads only the visual projection (D, E) of a CLIP from transformers.

    Args:
        source: a file, a folder or a hub id.
        shape: (D, E), of the random projection that stands in where it is not available.

    Returns:
        The projection, and why it is random; "" = it is not.

    Raises:
        WeightsError: the file has no such tensor.
    """
    try:
        files = local_files(source)
    except FileNotFoundError as error:
        why = (
            f"RANDOM VISUAL PROJECTION: {error}. Or name a folder that holds it in "
            "MODEL.CLASSIFIER.PROJECTION"
        )
        logger.warning(why)
        generator = torch.Generator().manual_seed(0)
        return torch.randn(shape, generator=generator) * shape[0] ** -0.5, why
    for file in files:
        if file.suffix != ".safetensors":
            weights = read_weights(file).weights
            if _PROJECTION in weights:
                return weights[_PROJECTION].T, ""
            continue
        with safe_open(file, framework="pt") as tensors:  # one of some hundred megabytes
            if _PROJECTION in tensors.keys():
                return tensors.get_tensor(_PROJECTION).T, ""
    raise WeightsError(f"{source} has no {_PROJECTION}: it is not a CLIP ViT of transformers")


def _misfit(cfg: CfgNode, text_width: int, width: int, projection: Tensor | None) -> str:
    language = cfg.MODEL.LANGUAGE
    message = (
        f"text vectors of {language.ENCODER} ({language.POOLING}) have width {text_width}, image "
        f"features width {width}: they cannot be rows of this classifier. "
    )
    if language.POOLING != "clip":
        return (
            message + "Choose a text encoder of that width, or set MODEL.CLASSIFIER.INIT to random"
        )
    has = "has none" if projection is None else f"has one of {tuple(projection.shape)}"
    return message + (
        f"CLIP's are pulled back through its visual projection ({width}, {text_width}); the image "
        f"encoder {has}. Name the CLIP that belongs to the texts in MODEL.CLASSIFIER.PROJECTION"
    )
