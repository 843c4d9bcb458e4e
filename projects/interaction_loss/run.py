#!/usr/bin/env python
"""Do a detector's tokens tell what people do, or only where they are? (RmLR, Figures 1 and 6)

python projects/interaction_loss/run.py --output output/interaction_loss
python projects/interaction_loss/run.py --input a.jpg b.jpg --output output/interaction_loss \
    --config-file configs/RmLR/R50.yaml MODEL.WEIGHTS rmlr.pth MODEL.ENTITY_DETECTOR.WEIGHTS d.pth
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import hoi_d2  # first: makes detectron2 importable without its compiled part

# isort: split
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from people import People, cosine, euclidean, people_in
from same_place import PLACES, Act, acts_in_same_places
from torch import Tensor

from hoi_d2.inference.predictor import HOIPredictor, to_rgb

TOY = ["MODEL.WEIGHTS", "hoi_d2://toy/rmlr.safetensors"]
FEATURES = {"tokens": "detector's tokens", "relations": "IRE's features"}
MEASURES = {"cosine similarity": cosine, "Euclidean distance (mean = 1)": euclidean}


def by_feature(people: list[People]) -> dict[str, Tensor]:
    """All people's vectors, one image after the other."""
    return {name: torch.cat([getattr(p, name) for p in people]) for name in FEATURES}


def summary(acts: list[Act], vectors: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """What changes a vector more, another action in the same place or another place?"""
    place = torch.tensor([act.place for act in acts])
    action = np.array([act.action for act in acts])
    same_place = place[:, None] == place
    same_action = torch.from_numpy(action[:, None] == action)
    rows = {}
    for name, x in vectors.items():
        near, far = cosine(x), euclidean(x)
        other_action, other_place = same_place & ~same_action, same_action & ~same_place
        rows[FEATURES[name]] = {
            "cosine, same place, other action": near[other_action].mean().item(),
            "cosine, other place, same action": near[other_place].mean().item(),
            "distance, same place, other action": far[other_action].mean().item(),
            "distance, other place, same action": far[other_place].mean().item(),
        }
    return rows


def draw(people: list[People], labels: list[str], titles: list[str], path: Path) -> None:
    """Images with their people above, similarities of all people below.

    Args:
        people: of each image.
        labels: of each person.
        titles: of each image; images without one are not shown.
        path: of the PNG.
    """
    shown = [(p, t) for p, t in zip(people, titles) if t]
    figure = plt.figure(figsize=(17, 7.5), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 2])
    starts = np.cumsum([0, *(len(p.boxes) for p in people)])
    for axes, (person, title) in zip(top.subplots(1, len(shown), squeeze=False)[0], shown):
        axes.imshow(person.image)
        first = starts[next(i for i, p in enumerate(people) if p is person)]
        for number, (x0, y0, x1, y1) in enumerate(person.boxes.tolist()):
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="red", lw=1.5))
            if len(person.boxes) > 1:
                axes.text(x0, y0, str(first + number), color="white", backgroundcolor="red")
        axes.set_title(title, fontsize=10)
        axes.axis("off")
    vectors = by_feature(people)
    panels = [(measure, name) for measure in MEASURES for name in FEATURES]
    for column, (axes, (measure, name)) in enumerate(zip(bottom.subplots(1, 4), panels)):
        values = MEASURES[measure](vectors[name]).numpy()
        limits = (0, 1) if measure.startswith("cosine") else (0, 2)
        image = axes.imshow(values, cmap="viridis", vmin=limits[0], vmax=limits[1])
        axes.set_title(f"{FEATURES[name]}\n{measure}", fontsize=10)
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
        axes.set_yticks(range(len(labels)), labels if column == 0 else [], fontsize=7)
        bottom.colorbar(image, ax=axes, fraction=0.046)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def study_toy(predictor: HOIPredictor, output: Path) -> None:
    """One person, six actions, three places."""
    acts = acts_in_same_places()
    people = [people_in(predictor, act.image, box=act.box) for act in acts]
    labels = [f"{act.action}, {'left middle right'.split()[act.place]}" for act in acts]
    titles = [act.action if act.place == len(PLACES) // 2 else "" for act in acts]
    draw(people, labels, titles, output / "toy.png")
    rows = summary(acts, by_feature(people))
    (output / "toy.json").write_text(json.dumps(rows, indent=1))
    for feature, values in rows.items():
        print(feature, *(f"  {name}: {value:.3f}" for name, value in values.items()), sep="\n")


def study_images(predictor: HOIPredictor, paths: list[str], output: Path) -> None:
    """All people that the detector finds in the images given."""
    people = [people_in(predictor, to_rgb(path)) for path in paths]
    labels = [str(i) for i in range(sum(len(p.boxes) for p in people))]
    draw(people, labels, [Path(path).name for path in paths], output / "images.png")


def main() -> int:
    hoi_d2.register()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", default="toy/rmlr.yaml")
    parser.add_argument("--input", nargs="+", help="images; default: drawn by the toy world")
    parser.add_argument("--output", type=Path, default=Path("output/interaction_loss"))
    parser.add_argument("options", nargs=argparse.REMAINDER, help="KEY VALUE ... of the config")
    args = parser.parse_args()
    is_toy = args.config_file.endswith("toy/rmlr.yaml") and "MODEL.WEIGHTS" not in args.options
    predictor = HOIPredictor.from_config(
        args.config_file, [*(TOY if is_toy else []), *args.options]
    )
    if predictor.random_parts:
        print(f"RANDOM WEIGHTS ({', '.join(predictor.random_parts)}): the figure means nothing")
    args.output.mkdir(parents=True, exist_ok=True)
    if args.input:
        study_images(predictor, args.input, args.output)
    else:
        study_toy(predictor, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
