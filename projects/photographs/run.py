"""What NanoDet and the layout model find of annotated photographs, and how long the demo takes.

python projects/photographs/run.py detector $HOI_D2_TEST_DATA
python projects/photographs/run.py roles $HOI_D2_TEST_DATA
python projects/photographs/run.py time $HOI_D2_TEST_DATA/images
python projects/photographs/run.py noise photo/layout_hico_det WEIGHTS ...
python projects/photographs/run.py confusions photo/layout_hico_det WEIGHTS
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from annotated import Photograph, annotated_photographs
from confusions import confusion_tables
from roles import role_tables
from simulated import noise_table
from tabulate import tabulate
from torchvision.ops import box_iou

from hoi_d2.benchmark.stopwatch import replaced
from hoi_d2.data.find_images import find_images
from hoi_d2.data.images import read_image
from hoi_d2.inference.predictor import HOIPredictor, get_model

THRESHOLDS = (0.1, 0.2, 0.3, 0.4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    for name in ("detector", "roles", "time"):
        commands.add_parser(name).add_argument("folder", type=Path)
    for name in ("noise", "confusions"):
        command = commands.add_parser(name)
        command.add_argument("model", help="such as photo/layout_hico_det")
        command.add_argument("weights", nargs="+" if name == "noise" else None)
        command.add_argument("--opts", nargs="+", default=[], help="KEY VALUE overrides")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(table_of(args))


def table_of(args: argparse.Namespace) -> str:
    """The text that a command prints."""
    if args.what == "noise":
        return noise_table(args.model, args.weights, args.opts)
    if args.what == "confusions":
        return confusion_tables(args.model, [*args.opts, "MODEL.WEIGHTS", args.weights])
    tables = {"detector": detector_table, "roles": role_tables, "time": time_table}
    return tables[args.what](args.folder)


def detector_table(folder: Path) -> str:
    """Recall of annotated humans, objects and pairs at IoU 0.5, by the lowest score."""
    model: Any = get_model("photo").model
    images = [(find_entities(model, p.path), p) for p in annotated_photographs(folder)]
    rows = []
    for threshold in THRESHOLDS:
        found = np.concatenate([found_pairs(e, truth, threshold) for e, truth in images])
        number = [int((e.scores >= threshold).sum()) for e, _ in images]
        rows.append((threshold, *found.mean(axis=0), len(found), statistics.mean(number)))
    headers = ("score from", "humans", "objects", "both boxes", "pairs", "boxes per image")
    return f"{len(images)} photographs\n" + tabulate(rows, headers, floatfmt=".2f")


@torch.no_grad()
def find_entities(model: Any, path: Path) -> Any:
    """The detections of an image, in its pixels."""
    rgb = read_image(path)
    pixels = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
    found = model.entity_detector([{"image": pixels}]).instances[0]
    height, width = found.image_size
    found.pred_boxes.scale(rgb.shape[1] / width, rgb.shape[0] / height)
    return found


def found_pairs(found: Any, truth: Photograph, threshold: float) -> np.ndarray:
    """(P, 3) bool for each annotated pair: its human, its object, both have a detection."""
    kept = found[found.scores >= threshold]
    same = truth.classes[:, None] == kept.pred_classes[None]
    fits = (box_iou(truth.boxes, kept.pred_boxes.tensor) >= 0.5) & same
    hit = fits.any(dim=1).tolist()
    rows = [(hit[h], hit[o], hit[h] and hit[o]) for h, o in truth.pairs]
    return np.array(rows, dtype=bool).reshape(-1, 3)


def time_table(folder: Path) -> str:
    """Median and largest milliseconds of each part for a photograph, and the peak of memory."""
    predictor = get_model("photo")
    paths = find_images([str(folder)])
    time_parts(predictor, paths[0])  # warms up
    seconds = defaultdict(list)
    for path in paths:
        for part, value in time_parts(predictor, path).items():
            seconds[part].append(1000 * value)
    rows = [(part, statistics.median(v), max(v)) for part, v in seconds.items()]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    head = f"{len(paths)} photographs, one thread, CPU time; peak of memory {memory:.0f} MB\n"
    return head + tabulate(rows, ("part", "median ms", "largest ms"), floatfmt=".1f")


def time_parts(predictor: HOIPredictor, path: Path) -> dict[str, float]:
    """CPU seconds of each part of the demo on one photograph."""
    parts: dict[str, float] = {}
    model: Any = predictor.model
    rgb = _timed(parts, "decode", read_image)(path)
    owners = [(model.entity_detector, "detector"), (model.pair_generator, "pairs")]
    owners.append((model.interaction_heads, "head"))
    before = [owner.forward for owner, _ in owners]
    start = time.process_time()
    with (
        replaced(owners[0][0], "forward", _timed(parts, owners[0][1], before[0])),
        replaced(owners[1][0], "forward", _timed(parts, owners[1][1], before[1])),
        replaced(owners[2][0], "forward", _timed(parts, owners[2][1], before[2])),
    ):
        prediction = predictor(rgb[:, :, ::-1])
    inside = sum(parts[name] for _, name in owners)
    parts["the rest of the model"] = time.process_time() - start - inside
    drawn = _timed(parts, "drawing", prediction.select(score_threshold=0.2, top_k=20).draw)()
    with tempfile.TemporaryDirectory() as folder:
        _timed(parts, "writing the JPEG", drawn.save)(Path(folder, "drawn.jpg"))
    parts["all"] = sum(parts.values())
    return parts


def _timed(parts: dict[str, float], name: str, function: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        result = function(*args, **kwargs)
        parts[name] = parts.get(name, 0.0) + time.process_time() - start
        return result

    return run


if __name__ == "__main__":
    main()
