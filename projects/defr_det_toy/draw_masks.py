#!/usr/bin/env python
"""What the query of DEFR-Det's last stage may see of a pair, and where it looks.

python projects/defr_det_toy/draw_masks.py --output output/defr_det_toy/masks.png

Rows are images with their best pair. Columns: the pair, the open patches, attention with the
mask, attention without.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from hoi_d2.data.images import read_image
from hoi_d2.inference.predictor import HOIPredictor
from hoi_d2.modeling.image_encoder.patch_masks import pair_patches

COLUMNS = ("best pair", "open patches", "attention, masked", "attention, whole image")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", default="toy/defr_det.yaml", metavar="F")
    parser.add_argument("--input", nargs="+", metavar="PATH", help="images; default: toy ones")
    parser.add_argument("--output", type=Path, default=Path("output/defr_det_toy/masks.png"))
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE overrides of the config")
    return parser


def main(arguments: list[str] | None = None) -> int:
    args = argument_parser().parse_args(arguments)
    predictor = HOIPredictor.from_config(args.config_file, args.opts)
    images = args.input or toy_images(5)
    figure, axes = plt.subplots(
        len(images), len(COLUMNS), figsize=(12, 3 * len(images)), squeeze=False
    )
    for axes_row, image in zip(axes, images):
        draw_row(axes_row, predictor, read_image(image))
    for axis, title in zip(axes[0], COLUMNS):
        axis.set_title(title if axis is not axes[0][0] else axis.get_title())
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(args.output, dpi=80)
    print(args.output)
    return 0


def toy_images(number: int) -> list[str]:
    """The first images of the toy world's validation set."""
    from detectron2.data import DatasetCatalog

    return [record["file_name"] for record in DatasetCatalog.get("toy_hoi_val")[:number]]


def draw_row(axes, predictor: HOIPredictor, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    for axis in axes:
        axis.imshow(image)
        axis.axis("off")
    prediction = predictor(np.ascontiguousarray(image[:, :, ::-1]))
    if not len(prediction.hoi_instances):
        axes[0].set_title("no pair")
        return
    best = prediction.triplets[0]
    axes[0].set_title(str(best), fontsize=9)
    for axis in axes:
        for box, color in ((best.human_box, "tab:blue"), (best.object_box, "tab:orange")):
            x1, y1, x2, y2 = box
            axis.add_patch(
                Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=2)
            )
    open_, masked, whole = maps(predictor.model, image, best.human_box, best.object_box)
    extent = (0, width, height, 0)
    shade = np.zeros((*open_.shape, 4))
    shade[..., 3] = np.where(open_, 0.0, 0.75)
    axes[1].imshow(shade, extent=extent, interpolation="nearest")
    for axis, weights in ((axes[2], masked), (axes[3], whole)):
        axis.imshow(
            weights, extent=extent, cmap="inferno", alpha=0.65, interpolation="nearest", vmin=0
        )


@torch.no_grad()
def maps(model: nn.Module, raw_image: np.ndarray, human: tuple, other: tuple):
    """(rows, columns) each: open patches, mean attention of the heads with and without the mask."""
    height, width = raw_image.shape[:2]
    image = torch.from_numpy(np.ascontiguousarray(raw_image.transpose(2, 0, 1)))
    tokens = model.image_encoder.tokens_before_last(model.squares([{"image": image}]))
    open_ = open_patches(model, human, other, (height, width))
    index = torch.zeros(1, dtype=torch.int64, device=tokens.device)
    masked = model.image_encoder.attention(tokens, open_, index)
    whole = model.image_encoder.attention(tokens)
    grid = model.image_encoder.grid
    return (
        open_[0].view(grid).cpu().numpy(),
        masked[0].mean(dim=0).cpu().numpy(),
        whole[0].mean(dim=0).cpu().numpy(),
    )


def open_patches(model: nn.Module, human: tuple, other: tuple, size: tuple[int, int]) -> Tensor:
    """(1, rows * columns) of one pair in pixels of an image of (height, width)."""

    scale = torch.tensor([size[1], size[0]] * 2)
    boxes = [
        torch.tensor([box], device=model.device) / scale.to(model.device) for box in (human, other)
    ]
    return pair_patches(*boxes, model.image_encoder.grid, mask=model.mask)


if __name__ == "__main__":
    raise SystemExit(main())
