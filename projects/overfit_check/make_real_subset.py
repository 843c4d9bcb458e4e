#!/usr/bin/env python
"""The annotated real images as small HICO-DET and V-COCO trees, in UPT's form.

python projects/overfit_check/make_real_subset.py $HOI_D2_TEST_DATA output/real_subset
DETECTRON2_DATASETS=output/real_subset python tools/visualize_data.py vcoco_trainval --output look

Images of every split go into the training split: the point is that boxes, pairs and labels line
up on real data, not a score. Some images are squashed copies; their boxes are squashed alike.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

HICO = "hico_det/instances_test2015.json"
VCOCO = tuple(f"vcoco/instances_vcoco_{part}.json" for part in ("train", "val", "test"))


def annotated_images(data: Path, dataset: str) -> list[dict[str, Any]]:
    """Entries of index.json: `file`, `size` and perhaps `resized_from`."""
    index = json.loads((data / "images" / "index.json").read_text())
    return [e for e in index if e["annotated"] and e["dataset"].startswith(dataset)]


def write_hico_det(data: Path, root: Path) -> int:
    """hicodet/instances_train2015.json and its images."""
    content = json.loads((data / HICO).read_text())
    entries = annotated_images(data, "HICO-DET")
    rows = [content["filenames"].index(entry["file"]) for entry in entries]
    subset = content | {
        "annotation": [scaled(content["annotation"][r], e) for r, e in zip(rows, entries)],
        "filenames": [entry["file"] for entry in entries],
        "size": [entry["size"] for entry in entries],
        "empty": [],
    }
    _copy(data, entries, root / "hicodet" / "hico_20160224_det" / "images" / "train2015")
    (root / "hicodet" / "instances_train2015.json").write_text(json.dumps(subset))
    return len(entries)


def write_vcoco(data: Path, root: Path) -> int:
    """vcoco/instances_vcoco_trainval.json and its images."""
    contents = [json.loads((data / name).read_text()) for name in VCOCO]
    by_name = {a["file_name"]: a for content in contents for a in content["annotations"]}
    entries = annotated_images(data, "V-COCO")
    subset = contents[0] | {
        "annotations": [scaled(by_name[entry["file"]], entry) for entry in entries],
        "images": [entry["id"] for entry in entries],
    }
    _copy(data, entries, root / "vcoco" / "mscoco2014" / "train2014")
    (root / "vcoco" / "instances_vcoco_trainval.json").write_text(json.dumps(subset))
    return len(entries)


def scaled(annotation: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """The annotation of an image whose copy has another size than the original."""
    width, height = entry.get("resized_from", entry["size"])
    factors = [entry["size"][0] / width, entry["size"][1] / height] * 2
    boxes = {
        key: [[v * f for v, f in zip(box, factors)] for box in annotation[key]]
        for key in ("boxes_h", "boxes_o")
    }
    return annotation | boxes


def _copy(data: Path, entries: list[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        shutil.copy(data / "images" / entry["file"], folder / entry["file"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder that HOI_D2_TEST_DATA names")
    parser.add_argument("root", type=Path, help="what DETECTRON2_DATASETS will name")
    args = parser.parse_args()
    print(f"HICO-DET: {write_hico_det(args.data, args.root)} images")
    print(f"V-COCO: {write_vcoco(args.data, args.root)} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
