"""Prints how far our UPT is from a slow one with the same weights; exits 1 above 1e-4.

    python -m tests.checkpoint.upt_equality_table [FOLDER]

UPT of the published size (R-50; HICO-DET and V-COCO), read from a file as its authors write it by
the commands' own way, two images of different sizes in one batch. The slow one is DETR from torch's
layers (`published_detr.py`), and on our detector's boxes and tokens the head in loops
(`published_upt.py`), one image at a time. The weights are made from names and shapes; the detector
is made to find persons and bicycles in many places. With FOLDER the files are kept there.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tabulate import tabulate
from torch import Tensor, nn
from torchvision.ops import batched_nms

from hoi_d2.checkpoint import HOICheckpointer
from hoi_d2.data.vocabulary import coco_objects, hico_object_order, upt_vcoco_verbs
from hoi_d2.registration import register
from tests.checkpoint.equality_table import LIMIT, _images, _named
from tests.checkpoint.published_detr import PublishedDetr, full_size_detr
from tests.checkpoint.published_upt import PublishedUPTHead, upt_reference_weights, upt_shapes
from tests.checkpoint.reference_weights import reference_weights
from tests.small_configs import configs_root, read_config

if TYPE_CHECKING:
    from detectron2.structures import Instances

HEADERS = ("model", "image", "pairs", "scores compared", "largest score", "tokens", "scores")
PERSON, BICYCLE = 0, 1
# Name of the dataset in the authors' files -> its name in ours, and how many verbs they have.
DATASETS = {"hicodet": ("hico_det", 117), "vcoco": ("vcoco", 24)}


def main() -> int:
    """Prints the table; returns the exit status."""
    register()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if sys.argv[1:] else temporary)
        rows = [row for name in DATASETS for row in rows_of(name, folder)]
    print(tabulate(rows, headers=HEADERS, floatfmt=".1e"))
    return int(max(max(row[-2:]) for row in rows) > LIMIT)


@torch.no_grad()
def rows_of(name: str, folder: Path) -> list[tuple]:
    """One row for each image."""
    from detectron2.modeling import build_model

    config, verbs = DATASETS[name]
    order = hico_object_order().tolist() if verbs == 117 else list(range(len(coco_objects())))
    model = build_model(read_config(configs_root() / "UPT" / f"upt_R50_{config}.yaml")).eval()
    images = _images()
    normal = [
        (x - model.entity_detector.pixel_mean) / model.entity_detector.pixel_std for x in images
    ]
    detector, weights = _weights(normal[0], verbs, order)
    path = folder / f"upt-r50-{name}.pt"
    torch.save({"iteration": 1, "epoch": 20, "model_state_dict": weights}, path)
    HOICheckpointer(model).load(path)
    head = PublishedUPTHead({n: t for n, t in weights.items() if n.startswith("interaction")})
    inputs = [{"image": image} for image in images]
    entities, outputs = model.entity_detector(inputs), model(inputs)
    rows = []
    for x, found, output in zip(normal, entities.instances, outputs):
        tokens = float((found.tokens - detector(x)[0]).abs().max())
        pooled = detector.features(x)[0].mean(dim=(1, 2))
        compared = _compared(model, head, found, pooled, output["hoi_instances"])
        rows.append((f"R50, {name}", _named(found.image_size), *compared[:3], tokens, compared[3]))
    return rows


def _weights(
    image: Tensor, verbs: int, order: list[int]
) -> tuple[PublishedDetr, dict[str, Tensor]]:
    detector = full_size_detr((3, 4, 6, 3))
    detector.class_embed = nn.Linear(256, 81)
    state = detector.state_dict()
    detector.load_state_dict(reference_weights({n: t.shape for n, t in state.items()}))
    tokens = detector(image)[0]
    direction = torch.linalg.svd(tokens - tokens.mean(dim=0)).Vh[0] * 10
    _spread_boxes(detector.bbox_embed["layers"], tokens)
    detector.class_embed.weight.zero_()
    detector.class_embed.bias.fill_(-3.0)
    for found, sign in ((PERSON, 1), (BICYCLE, -1)):
        row = order.index(found)
        detector.class_embed.weight[row] = sign * direction
        detector.class_embed.bias[row] = -sign * direction @ tokens.mean(dim=0)
    weights = {f"detector.{n}": t for n, t in detector.state_dict().items()}
    return detector, weights | upt_reference_weights(upt_shapes(verbs=verbs))


def _spread_boxes(layers: nn.ModuleList, tokens: Tensor) -> None:
    """Makes the last layer give boxes in many places, of about a quarter of the image's sides."""
    hidden = layers[1](layers[0](tokens).relu()).relu()
    raw = hidden @ layers[2].weight.T
    layers[2].weight /= raw.std(dim=0)[:, None]
    layers[2].bias[:] = torch.tensor([0.0, 0, -1, -1]) - (raw / raw.std(dim=0)).mean(dim=0)


def _compared(
    model: nn.Module, head: PublishedUPTHead, found: Instances, pooled: Tensor, output: Instances
) -> tuple[int, int, float, float]:
    """Pairs, scores, the largest score and the largest difference."""
    boxes, scores, classes = found.pred_boxes.tensor, found.scores, found.pred_classes
    kept = batched_nms(boxes, scores, classes, 0.5).tolist()
    humans = _best([i for i in kept if classes[i] == PERSON], scores)
    index = humans + _best([i for i in kept if classes[i] != PERSON], scores)
    pairs, logits = head(boxes[index], found.tokens[index], len(humans), found.image_size, pooled)
    names = model.vocabulary.verbs
    verbs = range(117) if len(names) == 117 else [names.index(v) for v in upt_vcoco_verbs()]
    column = {verb: place for place, verb in enumerate(verbs)}
    differences = []
    triples = zip(output.pair_indices.tolist(), output.verb_classes.tolist(), output.scores)
    for (human, object_), verb, score in triples:
        prior = float(scores[index[human]] * scores[index[object_]]) ** 2.8
        logit = logits[pairs.index((human, object_)), column[verb]]
        differences.append(abs(float(logit.sigmoid()) * prior - float(score)))
    return len(pairs), len(differences), float(output.scores.max()), max(differences)


def _best(rows: list[int], scores: Tensor) -> list[int]:
    """UPT's choice among the rows, which are in order of descending score."""
    above = sum(float(scores[i]) >= 0.2 for i in rows)
    return rows[: min(max(above, 3), 15)]


if __name__ == "__main__":
    sys.exit(main())
