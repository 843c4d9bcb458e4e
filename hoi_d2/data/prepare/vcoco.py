"""Extracts the part of COCO's annotations that V-COCO's official labels refer to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from hoi_d2.data.datasets.records import file_problem, paused_gc, read_json
from hoi_d2.data.datasets.vcoco import is_official_form

_KEPT = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")


def labelled_images(label_files: Iterable[Path]) -> set[int]:
    """Returns the ids of the images in official label files.

    Raises:
        DataFormatError: a file is not an official label file.
    """
    found: set[int] = set()
    for file in label_files:
        data = read_json(file)
        if not is_official_form(data):
            raise file_problem(file, "content", type(data).__name__, "official V-COCO labels")
        for action in data:
            found.update(action["image_id"])
    return found


def pick_annotations(coco_files: Sequence[Path], image_ids: set[int], target: Path) -> Path:
    """Writes COCO's images and boxes of V-COCO into one small file (no masks).

    The result is that of `script_pick_annotations.py` in the V-COCO toolkit, which needs Python 2.

    Args:
        coco_files: `instances_train2014.json` and `instances_val2014.json`.
        image_ids: the images to keep.
        target: the file to write, `instances_vcoco_all_2014.json`.

    Raises:
        DataFormatError: an image is in none of the files.
    """
    picked: dict[str, list] = {"images": [], "annotations": [], "categories": []}
    for file in coco_files:
        with paused_gc():
            data = read_json(file)
        picked["images"] += [i for i in data["images"] if i["id"] in image_ids]
        picked["annotations"] += [
            {k: a[k] for k in _KEPT if k in a}
            for a in data["annotations"]
            if a["image_id"] in image_ids
        ]
        picked["categories"] = data["categories"]
    missing = sorted(image_ids - {i["id"] for i in picked["images"]})
    if missing:
        what = f"all images of V-COCO; {len(missing)} are in none of {[*map(str, coco_files)]}"
        raise file_problem(coco_files[-1], "images", missing[:5], what)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    partial.write_text(json.dumps(picked))
    os.replace(partial, target)
    return target
