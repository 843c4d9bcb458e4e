#!/usr/bin/env python
"""Where the image encoder's last query looks, before and after training (Figure 4).

python projects/language_classifier/attention.py --config-file configs/toy/defr.yaml \
    --weights hoi_d2://toy/defr.safetensors --output output/attention.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import matplotlib.pyplot as plt
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.config.load import load_config
from hoi_d2.data.classification_mapper import classification_transform
from hoi_d2.data.images import read_image


def config(file: str, weights: str, options: list[str]) -> CfgNode:
    """The config on a CPU; without weights the encoder is the one that training begins with."""
    return load_config(file, [*options, "MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", weights])


@torch.no_grad()
def look(cfg: CfgNode, raw_images: list[np.ndarray], *, top: int) -> tuple[Tensor, list[list[str]]]:
    """(N, R, R) attention relative to an even one, and the names of the best classes of each."""
    model = build_model(cfg).eval()
    if cfg.MODEL.WEIGHTS:
        HOICheckpointer(model).load(cfg.MODEL.WEIGHTS, strict=False)
    encoder, squash = model.image_encoder, classification_transform(cfg, False)
    squares = [torch.from_numpy(np.array(squash(Image.fromarray(p)))) for p in raw_images]
    images = torch.stack(squares).permute(0, 3, 1, 2)
    tokens = encoder.tokens_before_last(encoder.normalize(images))
    rows, columns = encoder.grid
    maps = encoder.attention(tokens).mean(dim=1) * rows * columns  # over the heads
    maps = F.interpolate(maps[:, None], size=images.shape[-2:], mode="bicubic")[:, 0]
    best = model.classifier(encoder.attend(tokens)).topk(top).indices.tolist()
    names = [[model.vocabulary.hoi_name(hoi).replace("_", " ") for hoi in row] for row in best]
    return maps.clamp(min=0), names


def draw(axis: plt.Axes, image: np.ndarray, attention: Tensor, limit: float) -> None:
    """The image in grey under its attention map."""
    height, width = image.shape[:2]
    axis.imshow(image.mean(axis=2), cmap="gray", vmin=-80, vmax=255)
    axis.imshow(
        attention.numpy(),
        cmap="inferno",
        alpha=0.55,
        vmin=0,
        vmax=limit,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="bilinear",
    )


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", default="configs/toy/defr.yaml")
    parser.add_argument("--weights", required=True, help="trained")
    parser.add_argument("--input", nargs="+", help="images; default: of the config's test set")
    parser.add_argument("--number", type=int, default=5, help="of images of the test set")
    parser.add_argument("--output", type=Path, default=Path("output/attention.png"))
    parser.add_argument("opts", nargs="*", help="KEY VALUE overrides of the config")
    args = parser.parse_args()
    before = config(args.config_file, "", args.opts)
    after = config(args.config_file, args.weights, args.opts)
    files = args.input
    if not files:
        records = DatasetCatalog.get(before.DATASETS.TEST[0])
        shown = [r for r in records if (r["image_labels"] == 1).any()]
        files = [r["file_name"] for r in shown[:: len(shown) // args.number][: args.number]]
    images = [read_image(file) for file in files]
    torch.manual_seed(0)
    untrained, _ = look(before, images, top=2)
    trained, names = look(after, images, top=2)
    figure, axes = plt.subplots(3, len(images), figsize=(2.5 * len(images), 7.4), squeeze=False)
    limit = float(torch.stack([untrained, trained]).flatten().quantile(0.995))
    for column, image in zip(axes.T, images):
        column[0].imshow(image)
    for row, maps in ((1, untrained), (2, trained)):
        for axis, image, attention in zip(axes[row], images, maps):
            draw(axis, image, attention, limit)
    for axis, best in zip(axes[2], names):
        axis.set_xlabel("\n".join(best), fontsize=8)
    for axis, label in zip(axes[:, 0], ("image", "before training", "after training")):
        axis.set_ylabel(label, fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.output, dpi=80)
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
