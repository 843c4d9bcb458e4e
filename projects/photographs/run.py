"""What NanoDet finds of annotated photographs, and where the time of the demo goes.

python projects/photographs/run.py detector $HOI_D2_TEST_DATA
python projects/photographs/run.py time $HOI_D2_TEST_DATA/images
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate
from torchvision.ops import box_iou

from hoi_d2.benchmark.stopwatch import replaced
from hoi_d2.data.dataset import open_dataset
from hoi_d2.data.find_images import find_images
from hoi_d2.data.images import read_image
from hoi_d2.inference.predictor import HOIPredictor, get_model

FILES = [f"vcoco/instances_vcoco_{split}.json" for split in ("train", "val", "test")]
FILES.append("hico_det/instances_test2015.json")
THRESHOLDS = (0.1, 0.2, 0.3, 0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("detector", "time"))
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(detector_table(args.folder) if args.what == "detector" else time_table(args.folder))


def detector_table(folder: Path) -> str:
    """Recall of annotated humans, objects and pairs at IoU 0.5, by the lowest score."""
    model: Any = get_model("photo").model
    images = [(find_entities(model, path), entry) for path, entry in annotated(folder)]
    rows = []
    for threshold in THRESHOLDS:
        found = np.concatenate([found_pairs(e, record, threshold) for e, record in images])
        number = [int((e.scores >= threshold).sum()) for e, _ in images]
        rows.append((threshold, *found.mean(axis=0), len(found), statistics.mean(number)))
    headers = ("score from", "humans", "objects", "both boxes", "pairs", "boxes per image")
    return f"{len(images)} photographs\n" + tabulate(rows, headers, floatfmt=".2f")


def annotated(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The images of index.json that have annotated pairs, with boxes in the image's own pixels."""
    index = json.loads((folder / "images" / "index.json").read_text())
    records = {r["file_name"]: r for f in FILES for r in open_dataset(folder / f).records}
    result = []
    for entry in index:
        record = records.get(entry["file"])
        if entry["annotated"] and record and record["hoi_annotations"]:
            whole = entry.get("resized_from") or entry["size"]
            scale = np.divide(entry["size"], whole)
            result.append((folder / "images" / entry["file"], _scaled(record, np.tile(scale, 2))))
    return result


def _scaled(record: dict[str, Any], scale: np.ndarray) -> dict[str, Any]:
    boxes = np.array([a["bbox"] for a in record["annotations"]]) * scale  # XYXY, see datasets/
    classes = [a["category_id"] for a in record["annotations"]]
    pairs = {(h["human"], h["object"]) for h in record["hoi_annotations"] if h["object"] >= 0}
    return {"boxes": torch.from_numpy(boxes), "classes": classes, "pairs": sorted(pairs)}


@torch.no_grad()
def find_entities(model: Any, path: Path) -> Any:
    """The detections of an image, in its pixels."""
    rgb = read_image(path)
    pixels = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
    found = model.entity_detector([{"image": pixels}]).instances[0]
    height, width = found.image_size
    found.pred_boxes.scale(rgb.shape[1] / width, rgb.shape[0] / height)
    return found


def found_pairs(found: Any, record: dict[str, Any], threshold: float) -> np.ndarray:
    """(P, 3) bool for each annotated pair: its human, its object, both have a detection."""
    kept = found[found.scores >= threshold]
    same = torch.tensor(record["classes"])[:, None] == kept.pred_classes[None]
    fits = (box_iou(record["boxes"].float(), kept.pred_boxes.tensor) >= 0.5) & same
    hit = fits.any(dim=1).tolist()
    rows = [(hit[h], hit[o], hit[h] and hit[o]) for h, o in record["pairs"]]
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
