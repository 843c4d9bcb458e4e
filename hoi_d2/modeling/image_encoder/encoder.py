"""`ImageEncoder`: what DEFR and DEFR-Det need of an image tower."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor, nn

from hoi_d2.modeling.image_encoder.masked_attention import known_index, row_weights


class EncoderOptions(TypedDict):
    """Arguments of `ImageEncoder` that do not depend on the kind of its network."""

    image_size: int
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    visual_projection: NotRequired[int]


class ImageEncoder(nn.Module):
    """Encodes a square image as one vector, or one for each set of patches its last stage may see.

    The last stage reads the whole image through one query (a ViT's CLS token, the mean token of
    CLIP-ResNet's attention pool). DEFR-Det masks the keys of that query, so everything before it
    is computed once for an image (arXiv 2203.05676, section 3.3, equation 5).

    Args:
        network: of timm.
        image_size: side R of the input.
        width: D of the vector.
        grid: rows and columns of patches in the last stage.
        pixel_mean, pixel_std: of the channels, on 0..1.
        visual_projection: E of CLIP's projection into the space of its texts, which is kept out of
            the vector; 0 = none.

    Attributes:
        visual_projection: (D, E) or None.
        is_random: no weights were loaded when it was built.
        stand_in: why not, where the config names some; "" otherwise.
        is_frozen: only `own_layers` are trained.
        precision: of `arithmetic`, MODEL.IMAGE_ENCODER.PRECISION.
    """

    network: Any  # timm types the parts of a model as plain modules
    pixel_mean: Tensor
    pixel_std: Tensor
    visual_projection: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        *,
        image_size: int,
        width: int,
        grid: tuple[int, int],
        pixel_mean: tuple[float, ...],
        pixel_std: tuple[float, ...],
        visual_projection: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.image_size, self.width, self.grid = image_size, width, grid
        self.is_random, self.stand_in, self.is_frozen = True, "", False
        self.precision = torch.float32
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), persistent=False)
        # It is saved in checkpoints, because it maps the texts of new classes to image features.
        projection = torch.randn(width, visual_projection) * width**-0.5
        self.register_buffer("visual_projection", projection if visual_projection else None)

    @property
    def position_table(self) -> str:
        """Name of the position embedding (1 + rows * columns, D) in `network`; "" = none."""
        return ""

    @property
    def own_layers(self) -> tuple[str, ...]:
        """Layers of `network` that no published weights have values for."""
        return ()

    def freeze(self) -> None:
        """Trains `own_layers` alone; everything else computes as in testing from now on."""
        self.is_frozen = True
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name.startswith(self.own_layers))
        self.train(self.training)

    def train(self, mode: bool = True) -> ImageEncoder:
        super().train(mode)
        if self.is_frozen:  # batch norm and dropout
            for name, module in self.network.named_children():
                module.train(mode and name in self.own_layers)
        return self

    def normalize(self, images: Tensor) -> Tensor:
        """Normalises pixels (B, 3, R, R) on 0..255 for `forward`."""
        return (images / 255 - self.pixel_mean) / self.pixel_std

    def forward(self, images: Tensor) -> Tensor:
        """Encodes normalised images.

        Args:
            images: (B, 3, R, R), see `normalize`.

        Returns:
            (B, D), the CLS token after the last norm, or the pool's output.

        Raises:
            ValueError: the images have another size.
        """
        with self.arithmetic():
            return self.attend(self.tokens_before_last(images)).float()

    def arithmetic(self) -> AbstractContextManager:
        """Inside, the encoder computes in its precision; with gradients, in that of the caller."""
        if self.precision == torch.float32 or torch.is_grad_enabled():
            return nullcontext()
        return torch.autocast(self.pixel_mean.device.type, dtype=self.precision)

    def tokens_before_last(self, images: Tensor, *, masked_blocks: int = 1) -> Tensor:
        """The input of the last stage: (B, 1 + rows * columns, C), the query's token first.

        Args:
            images: (B, 3, R, R) normalised.
            masked_blocks: the number of blocks that `attend` will compute.
        """
        raise NotImplementedError

    def attend(
        self,
        tokens: Tensor,
        open_patches: Tensor | None = None,
        image_index: Tensor | None = None,
        *,
        masked_blocks: int = 1,
        hidden_bias: float = -torch.inf,
    ) -> Tensor:
        """Computes the last stage for M masks.

        Args:
            tokens: the output of `tokens_before_last`, with the same `masked_blocks`.
            open_patches: (M, rows * columns) bool, the patches that the query sees in addition to
                itself; None = one row per image, all patches.
            image_index: (M,) the image of each mask.
            masked_blocks: the number of masked blocks at the end. With more than one, all tokens
                are computed for every mask, because they depend on the query's token.
            hidden_bias: added to the logits of the patches that the query should not see.

        Returns:
            (M, D).
        """
        raise NotImplementedError

    def query_keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query (B, heads, d), keys and values (B, heads, 1 + patches, d) of the last stage."""
        raise NotImplementedError

    def attention(
        self, tokens: Tensor, open_patches: Tensor | None = None, image_index: Tensor | None = None
    ) -> Tensor:
        """The attention of the query to each patch, (M, heads, rows, columns).

        It excludes the query's own token, so a map sums to less than 1.
        """
        if open_patches is None:
            shape = len(tokens), self.grid[0] * self.grid[1]
            open_patches = torch.ones(shape, dtype=torch.bool, device=tokens.device)
            image_index = torch.arange(len(tokens), device=tokens.device)
        query, keys, _ = self.query_keys_values(tokens)
        weights = row_weights(query, keys, with_own(open_patches), known_index(image_index))
        return weights[:, :, 1:].unflatten(2, self.grid)

    def check_size(self, images: Tensor) -> None:
        """Raises ValueError if the images are not R x R."""
        if tuple(images.shape[-2:]) != (self.image_size, self.image_size):
            height, width = images.shape[-2:]
            raise ValueError(
                f"the image encoder expected images of {self.image_size} x {self.image_size}, got "
                f"{width} x {height}; set INPUT.SQUARE_SIZE or MODEL.IMAGE_ENCODER.IMAGE_SIZE"
            )


def with_own(open_patches: Tensor) -> Tensor:
    """Adds the query's own token, which is always open, before the patches: (M, 1 + N)."""
    return torch.cat([torch.ones_like(open_patches[:, :1]), open_patches], dim=1)
