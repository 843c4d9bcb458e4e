#!/usr/bin/env python
"""t-SNE of the classifier's rows before and after training, coloured by verb (Figures 1 and 3).

python projects/language_classifier/tsne.py --config-file configs/toy/defr.yaml \
    --weights hoi_d2://toy/defr.safetensors --output output/tsne.png
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import matplotlib.pyplot as plt
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model
from sklearn.manifold import TSNE
from torch.nn import functional as F

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.config.load import load_config
from hoi_d2.data.vocabulary import Vocabulary

NAMED_VERBS = 10
GREY = "#c8c8c8"


def config(file: str, weights: str, options: list[str]) -> CfgNode:
    """The config on a CPU; without weights the rows are those that training begins with."""
    return load_config(file, [*options, "MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", weights])


def rows_of(cfg: CfgNode) -> tuple[np.ndarray, Vocabulary]:
    """(C, D) unit rows of the classifier, and what they stand for."""
    model = build_model(cfg).eval()
    if cfg.MODEL.WEIGHTS:
        HOICheckpointer(model).load(cfg.MODEL.WEIGHTS, strict=False)
    weight = model.classifier.weight.detach().float()
    return F.normalize(weight, dim=1).numpy(), model.vocabulary


def shown_classes(cfg: CfgNode, classes: int) -> np.ndarray:
    """The classes that the data set looks for; all where it does not say."""
    metadata = MetadataCatalog.get(cfg.DATASETS.TEST[0])
    return np.asarray(metadata.get("evaluated_hois") or range(classes))


def alike_neighbours(rows: np.ndarray, words: np.ndarray) -> float:
    """Percent of the classes whose nearest row has their word, of those whose word has others.

    Args:
        rows: (C, D) unit rows.
        words: (C,) verb or object of each class.
    """
    similarity = rows @ rows.T
    np.fill_diagonal(similarity, -np.inf)
    several = np.isin(words, [v for v, n in Counter(words.tolist()).items() if n > 1])
    return 100 * float((words[similarity.argmax(axis=1)] == words)[several].mean())


def draw(axis: plt.Axes, rows: np.ndarray, hois: np.ndarray, names: list[str], title: str) -> None:
    """One cloud of points; the most frequent verbs have a colour. `hois` (C, 2): object, verb."""
    verbs = hois[:, 1]
    points = TSNE(
        metric="cosine", init="pca", perplexity=min(30, (len(rows) - 1) / 3), random_state=0
    ).fit_transform(rows)
    frequent = [verb for verb, _ in Counter(verbs.tolist()).most_common(NAMED_VERBS)]
    other = ~np.isin(verbs, frequent)
    axis.scatter(*points[other].T, s=8, color=GREY)
    for verb, color in zip(frequent, plt.get_cmap("tab10").colors):
        axis.scatter(*points[verbs == verb].T, s=14, color=color, label=names[verb])
    by_object, by_verb = (alike_neighbours(rows, column) for column in hois.T)
    shares = f"nearest row: same verb {by_verb:.0f} %, same object {by_object:.0f} %"
    axis.set_title(f"{title}\n{shares}", fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", default="configs/toy/defr.yaml")
    parser.add_argument("--weights", default="", help="trained; without, only the first rows")
    parser.add_argument("--random-weights", default="", help="trained from random rows (bottom)")
    parser.add_argument("--output", type=Path, default=Path("output/tsne.png"))
    parser.add_argument("--all", action="store_true", help="also classes the data set never shows")
    parser.add_argument("opts", nargs="*", help="KEY VALUE overrides of the config")
    args = parser.parse_args()
    torch.manual_seed(0)
    clouds = {"language vectors, before training": config(args.config_file, "", args.opts)}
    if args.weights:
        clouds["after training"] = config(args.config_file, args.weights, args.opts)
    if args.random_weights:
        clouds["after training from random rows"] = config(
            args.config_file, args.random_weights, args.opts
        )
    figure, axes = plt.subplots(1, len(clouds), figsize=(4.6 * len(clouds), 4.8), squeeze=False)
    for axis, (title, cfg) in zip(axes[0], clouds.items()):
        rows, vocabulary = rows_of(cfg)
        chosen = np.arange(len(rows)) if args.all else shown_classes(cfg, len(rows))
        names = [verb.replace("_", " ") for verb in vocabulary.verbs]
        title = f"{title} ({len(chosen)} classes)"
        draw(axis, rows[chosen], vocabulary.hois[chosen], names, title)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.output, dpi=90)
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
