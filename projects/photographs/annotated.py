"""The annotated photographs of the test data, with boxes in their own pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hoi_d2.data.dataset import open_dataset

FILES = {
    f"vcoco {split}": f"vcoco/instances_vcoco_{split}.json" for split in ("train", "val", "test")
}
FILES["hico_det test"] = "hico_det/instances_test2015.json"


class Photograph(NamedTuple):
    """An image with annotated pairs that have an object.

    Attributes:
        path: of the image.
        split: a key of `FILES`.
        boxes: (N, 4) XYXY pixels of the image.
        classes: (N,) COCO's objects.
        triplets: (human, object, verb) each; rows of `boxes`, and the verb of the data set.
    """

    path: Path
    split: str
    boxes: Tensor
    classes: Tensor
    triplets: list[tuple[int, int, int]]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(human, object) of all triplets, each once."""
        return sorted({triplet[:2] for triplet in self.triplets})


def annotated_photographs(folder: Path) -> list[Photograph]:
    """The images of index.json that have annotated pairs."""
    index = json.loads((folder / "images" / "index.json").read_text())
    records = {
        record["file_name"]: (split, record)
        for split, file in FILES.items()
        for record in open_dataset(folder / file).records
    }
    found = []
    for entry in (e for e in index if e["annotated"] and e["file"] in records):
        split, record = records[entry["file"]]
        scale = np.divide(entry["size"], entry.get("resized_from") or entry["size"])
        photograph = _photograph(folder / "images" / entry["file"], split, record, scale)
        if photograph.triplets:
            found.append(photograph)
    return found


def _photograph(path: Path, split: str, record: dict[str, Any], scale: np.ndarray) -> Photograph:
    entities, pairs = record["annotations"], record["hoi_annotations"]
    boxes = np.array([e["bbox"] for e in entities]).reshape(-1, 4) * np.tile(scale, 2)
    classes = torch.tensor([e["category_id"] for e in entities])
    triplets = [(p["human"], p["object"], p["verb"]) for p in pairs if p["object"] >= 0]
    return Photograph(path, split, torch.from_numpy(boxes).float(), classes, triplets)
