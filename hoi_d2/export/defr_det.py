"""Exports DEFR-Det and CLIP-Pairs: detector, image encoder, its last stage for M pairs."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from hoi_d2.export.detector import ExportableDetector, detector_graph
from hoi_d2.export.graph import Graph
from hoi_d2.modeling.meta_arch.clip_pairs import CLIPPairs
from hoi_d2.modeling.meta_arch.defr_det import DEFRDet

INPUTS, LOGITS = ("tokens", "open_patches"), "class_logits"


class EncoderModule(nn.Module):
    """A square image -> the tokens that the last stage reads (1, 1 + rows * columns, C)."""

    def __init__(self, model: DEFRDet) -> None:
        super().__init__()
        self.encoder = model.image_encoder

    def forward(self, square: Tensor) -> Tensor:
        """Encodes (1, 3, R, R) RGB, integers from 0 to 255."""
        return self.encoder.tokens_before_last(self.encoder.normalize(square))


class DEFRDetHeadModule(nn.Module):
    """Tokens of one image and M pairs -> class logits (M, C)."""

    def __init__(self, model: DEFRDet) -> None:
        super().__init__()
        adapter = [model.adapter] if isinstance(model, CLIPPairs) else []
        self.encoder = model.image_encoder
        self.classifier = nn.Sequential(*adapter, model.classifier)

    def forward(self, tokens: Tensor, open_patches: Tensor) -> Tensor:
        """Computes the class scores of the pairs.

        Args:
            tokens: output of `EncoderModule`.
            open_patches: (M, rows * columns) bool, the patches that each pair's query attends to.
        """
        index = torch.zeros_like(open_patches[:, 0], dtype=torch.int64)
        return self.classifier(self.encoder.attend(tokens, open_patches, index))


def defr_det_graphs(model: DEFRDet, size: tuple[int, int]) -> list[Graph]:
    """ "detector", "encoder" and "head"; see `export_model`."""
    detector = cast(ExportableDetector, model.entity_detector)
    encoder = Graph(
        name="encoder",
        module=EncoderModule(model),
        inputs=("square",),
        outputs=("tokens",),
        example=lambda _: (example_square(model),),
    )
    head = Graph(
        name="head",
        module=DEFRDetHeadModule(model),
        inputs=INPUTS,
        outputs=(LOGITS,),
        example=lambda number: example_pairs(model, number=number),
        per_pair=(INPUTS[1], LOGITS),
    )
    return [detector_graph(detector, size, with_map=False), encoder, head]


def defr_det_settings(model: DEFRDet) -> dict[str, Any]:
    """Returns the settings of encoder and head that the runner needs."""
    return {
        "powers": list(model.powers),
        "score": model.score,
        "temperature": model.temperature,
        "class_of": model.class_of.tolist(),
        "together": model.together.flatten().tolist(),
        "square": model.image_encoder.image_size,
        "resize": model.resize,
        "grid": list(model.image_encoder.grid),
        "mask": model.mask,
    }


def example_square(model: DEFRDet) -> Tensor:
    """Returns an input of the encoder: an image of noise."""
    side, generator = model.image_encoder.image_size, torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, 3, side, side), generator=generator).float()


@torch.no_grad()
def example_pairs(model: DEFRDet, *, number: int) -> tuple[Tensor, Tensor]:
    """Returns inputs of the head for that many pairs; the first pair has no open patch."""
    generator = torch.Generator().manual_seed(number)
    rows, columns = model.image_encoder.grid
    patches = torch.rand(number, rows * columns, generator=generator) < 0.3
    patches[:1] = False
    return EncoderModule(model)(example_square(model)), patches
