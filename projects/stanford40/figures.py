"""DEFR's Figure 4 as class-activation maps, its Figure 3 as t-SNE; before and after training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from masks import open_cells, unmasked_blocks
from photographs import Photographs
from recogniser import Recogniser, logits_of
from sklearn.manifold import TSNE
from torch import Tensor
from torch.nn import functional as F

from hoi_d2.data.images import read_dataset_image
from hoi_d2.modeling.image_encoder import ImageEncoder

if TYPE_CHECKING:
    from run import Study

_ROWS, _SHOWN = ("LSE-Sign", "MiniLM"), 24


def before_and_after(study: Study, seed: int) -> dict[str, Recogniser]:
    """The same model untrained and trained, with all photographs."""
    variant = study.tuned(*_ROWS, "all")
    torch.manual_seed(seed)  # as `train` does
    first = Recogniser(variant, variant.config()).eval()
    return {"before": first, "after": study.model(variant, "all", seed=seed)}


@torch.no_grad()
def activation_maps(
    encoder: ImageEncoder, model: Recogniser, photographs: Photographs
) -> np.ndarray:
    """(N, rows, columns): what each cell adds to the logit of the photograph's own action.

    The pool is a mean and what follows it is linear but for the feature's length, so these are
    shares of the logit, not an approximation as with other networks.
    """
    parts = []
    for some in torch.arange(len(photographs)).split(64):
        cells = unmasked_blocks(encoder, photographs.maps[some].float(), 1)[:, 1:]
        rows = model.classifier.weight[photographs.actions[some]]
        parts.append(torch.einsum("bnd,bd->bn", model.layer(cells), rows))
    return torch.cat(parts).unflatten(1, encoder.grid).numpy()


def map_peaks(study: Study, seeds: list[int]) -> list[dict]:
    """How often the highest cell of a test photograph's map lies in the boxes, in percent."""
    photographs, table = study.parts["test"], []
    near = {"person": "person", "near": "person or objects"}
    cells = {name: open_cells(photographs, mask) for name, mask in near.items()}
    for seed in seeds:
        chance = {name: 100 * seen.float().mean().item() for name, seen in cells.items()}
        rows = {"share of the cells": chance}
        for name, model in before_and_after(study, seed).items():
            maps = torch.from_numpy(activation_maps(study.encoder, model, photographs))
            peak = maps.flatten(1).argmax(dim=1, keepdim=True)
            rows[f"highest cell {name} training"] = {
                where: 100 * seen.gather(1, peak).float().mean().item()
                for where, seen in cells.items()
            }
        table += [{"map": name, "seed": seed, **row} for name, row in rows.items()]
    return table


def draw_maps(study: Study, folder: Path, *, seed: int = 1) -> None:
    """Photographs with their maps; the folder must not be published."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(study.parts["test"]), generator=generator)[:_SHOWN]
    photographs = study.parts["test"][chosen]
    models = before_and_after(study, seed)
    maps = {n: activation_maps(study.encoder, m, photographs) for n, m in models.items()}
    best = logits_of(models["after"], study.features["test"][chosen]).argmax(axis=1)
    names = study.actions
    for number, place in enumerate(chosen.tolist()):
        record = study.records["test"][place]
        image = read_dataset_image(record)
        figure, axes = plt.subplots(1, 3, figsize=(9, 3.4))
        for axis in axes:
            axis.imshow(image)
            axis.set_axis_off()
        x0, y0, x1, y1 = record["annotations"][0]["bbox"]
        box = plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="white")
        axes[0].add_patch(box)
        for axis, (name, some) in zip(axes[1:], maps.items()):
            size = image.shape[1], image.shape[0]
            heat = cv2.resize(some[number], size, interpolation=cv2.INTER_CUBIC)
            axis.imshow(heat, cmap="jet", alpha=0.5)
            axis.set_title(f"{name} training", fontsize=8)
        own, found = names[photographs.actions[number]], names[best[number]]
        axes[0].set_title(f"{own}; found: {found}", fontsize=8)
        figure.tight_layout()
        figure.savefig(folder / f"{number:02d}_{own}.png", dpi=80)
        plt.close(figure)


def draw_tsne(study: Study, path: Path, *, seed: int = 1) -> None:
    """Rows of the classifier, and features of the test photographs, before and after training."""
    models = before_and_after(study, seed)
    figure, axes = plt.subplots(2, 2, figsize=(13, 12))
    rows = [F.normalize(m.classifier.weight.detach(), dim=1) for m in models.values()]
    kept = np.corrcoef(*(_pairs(r) for r in rows))[0, 1]
    for axis, some, name in zip(axes[0], rows, models):
        points = _tsne(some, perplexity=8)
        axis.scatter(*points.T, s=8, color="black")
        for point, action in zip(points, study.actions):
            axis.annotate(action.replace("_", " "), point, fontsize=7)
        axis.set_title(f"rows {name} training", fontsize=10)
    axes[0, 1].set_title(f"rows after training; cosines correlate {kept:.2f} with before")
    features = study.features["test"]
    with torch.no_grad():
        clouds = {
            "of the frozen encoder": features,
            "behind the layer": models["after"].layer(features),
        }
    for axis, (name, cloud) in zip(axes[1], clouds.items()):
        axis.scatter(
            *_tsne(cloud, perplexity=30).T, s=5, c=study.parts["test"].actions, cmap="nipy_spectral"
        )
        axis.set_title(f"test photographs, features {name}", fontsize=10)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)


def _pairs(rows: Tensor) -> np.ndarray:
    """Cosines of all pairs of rows."""
    upper = torch.triu_indices(len(rows), len(rows), offset=1)
    return (rows @ rows.T)[upper[0], upper[1]].numpy()


def _tsne(points: Tensor, *, perplexity: float) -> np.ndarray:
    kind = TSNE(metric="cosine", init="pca", perplexity=perplexity, random_state=0)
    return kind.fit_transform(points.numpy())
