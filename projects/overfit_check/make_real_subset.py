#!/usr/bin/env python
"""The annotated real pictures as small HICO-DET and V-COCO trees, in UPT's form.

python projects/overfit_check/make_real_subset.py $HOI_D2_TEST_DATA output/real_subset
DETECTRON2_DATASETS=output/real_subset python tools/train_net.py --config-file configs/RmLR/R50.yaml

Training and test splits hold the same pictures: the point is that boxes, pairs, labels and the
whole path line up on real data, not a score.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

HICO = "hico_det/instances_test2015.json"
VCOCO = "vcoco/instances_vcoco_test.json"


def whole_pictures(data: Path, dataset: str) -> list[str]:
    """Names of the annotated pictures that were not resized."""
    index = json.loads((data / "images" / "index.json").read_text())
    return [
        entry["file"]
        for entry in index
        if entry["annotated"] and not entry.get("resized_from") and dataset in entry["dataset"]
    ]


def write_hico_det(data: Path, root: Path) -> int:
    """hicodet/instances_{train,test}2015.json and the pictures of both."""
    content = json.loads((data / HICO).read_text())
    names = whole_pictures(data, "HICO-DET")
    rows = [content["filenames"].index(name) for name in names]
    subset = content | {
        "annotation": [content["annotation"][r] for r in rows],
        "filenames": names,
        "size": [content["size"][r] for r in rows],
        "empty": [],
    }
    for part in ("train2015", "test2015"):
        images = root / "hicodet" / "hico_20160224_det" / "images" / part
        _copy(data, names, images)
        (root / "hicodet" / f"instances_{part}.json").write_text(json.dumps(subset))
    return len(names)


def write_vcoco(data: Path, root: Path) -> int:
    """vcoco/instances_vcoco_{trainval,test}.json and the pictures."""
    content = json.loads((data / VCOCO).read_text())
    names = whole_pictures(data, "V-COCO test")
    by_name = {a["file_name"]: a for a in content["annotations"]}
    ids = [int(name.rsplit("_", 1)[1].removesuffix(".jpg")) for name in names]
    subset = content | {"annotations": [by_name[n] for n in names], "images": ids}
    _copy(data, names, root / "vcoco" / "mscoco2014" / "val2014")
    for part in ("trainval", "test"):
        (root / "vcoco" / f"instances_vcoco_{part}.json").write_text(json.dumps(subset))
    return len(names)


def _copy(data: Path, names: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(data / "images" / name, folder / name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder that HOI_D2_TEST_DATA names")
    parser.add_argument("root", type=Path, help="what DETECTRON2_DATASETS will name")
    args = parser.parse_args()
    print(f"HICO-DET: {write_hico_det(args.data, args.root)} pictures")
    print(f"V-COCO: {write_vcoco(args.data, args.root)} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
