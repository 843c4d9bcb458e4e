"""Prints how far our DETR is from others' with the same weights; exits 1 above 1e-4.

    python -m tests.checkpoint.equality_table

R-50 and R-101 of the published size, two images of different sizes in one batch, in float32 with
the default speed keys. "torch's layers" is DETR written down once more, one image at a time, with
nothing to pad (`published_detr.py`); "reference" are the arrays that Facebook's own code gave for
R-101 (in HOI_D2_TEST_DATA, where that is set). Weights are made from names and shapes.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor, nn
from torchvision.ops import box_convert

from hoi_d2.checkpoint import HOICheckpointer
from hoi_d2.config.load import load_config
from hoi_d2.registration import register
from tests.checkpoint.published_detr import full_size_detr
from tests.checkpoint.reference_weights import reference_weights

LIMIT = 1e-4
DEPTHS = {"R50": (3, 4, 6, 3), "R101": (3, 4, 23, 3)}
HEADERS = ("model", "against", "image", "tokens", "logits", "scores", "boxes (relative)", "pixels")


def main() -> int:
    """Prints the table; returns the exit status."""
    register()
    rows = [row for name in DEPTHS for row in rows_of(name)]
    print(tabulate(rows, headers=HEADERS, floatfmt=".1e"))
    worst = max(value for row in rows for value in row[3:7])
    print(f"largest difference without pixels: {worst:.1e} (limit {LIMIT:.0e})")
    return int(worst > LIMIT)


@torch.no_grad()
def rows_of(name: str) -> list[tuple]:
    """One row for each image and each of the others."""
    published, model = full_size_detr(DEPTHS[name]), _our_model(name)
    state = published.state_dict()
    published.load_state_dict(reference_weights({n: t.shape for n, t in state.items()}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detr.pth"
        torch.save({"model": published.state_dict()}, path)
        HOICheckpointer(model).load(path)
    raw_images = _images()
    images, mask = model.preprocess([{"image": image} for image in raw_images])
    output = model.network(images.tensor, mask)
    rows = []
    for i, image in enumerate(raw_images):
        ours = output.tokens[i], output.logits[-1, i], output.boxes[-1, i]
        size = tuple(image.shape[1:])
        theirs = published((image - model.pixel_mean) / model.pixel_std)
        rows.append((name, "torch's layers", _named(size), *_differences(ours, theirs, size)))
        if i == 0 and name == "R101" and (arrays := _reference()):
            theirs = arrays["tokens"][0], arrays["pred_logits"][0], arrays["pred_boxes"][0]
            rows.append((name, "reference", _named(size), *_differences(ours, theirs, size)))
    return rows


def _differences(
    ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], size: tuple[int, int]
) -> list[float]:
    """Largest of tokens, logits, scores, boxes as shares and in pixels."""
    tokens, logits, boxes = (float((a - b).abs().max()) for a, b in zip(ours, theirs))
    scores = [x[1].softmax(-1)[:, :-1].max(-1).values for x in (ours, theirs)]
    scale = torch.tensor([size[1], size[0]] * 2)
    pixels = [box_convert(x[2], "cxcywh", "xyxy") * scale for x in (ours, theirs)]
    differences = (float((a - b).abs().max()) for a, b in (scores, pixels))
    score, pixel = differences
    return [tokens, logits, score, boxes, pixel]


def _our_model(name: str) -> nn.Module:
    from detectron2.modeling import build_model

    cfg = load_config("")
    cfg.merge_from_file(str(Path(__file__).parents[2] / f"configs/Detr/{name}.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    return build_model(cfg).eval()


def _images() -> list[Tensor]:
    """Two of different sizes; the first is the reference's where that is at hand."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(480, 640), (545, 417)]
    drawn = [torch.randint(0, 256, (3, *s), generator=generator).float() for s in sizes]
    if arrays := _reference():
        drawn[0] = arrays["image"].permute(2, 0, 1).float()
    return drawn


def _reference() -> dict[str, Tensor]:
    folder = os.environ.get("HOI_D2_TEST_DATA", "")
    path = Path(folder) / "reference/detr_r101_expected.npz"
    if not folder or not path.is_file():
        return {}
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def _named(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


if __name__ == "__main__":
    sys.exit(main())
