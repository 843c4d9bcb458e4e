"""Converts HICO-DET's official annotations to a format that loads fast."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.vocabulary import hico_det_vocabulary, hico_object_order

PARTS = ("train", "test")


def upt_document(records: list[dict]) -> dict:
    """Converts dataset dicts to the UPT form: parallel lists, 1-based boxes, objects by name."""
    vocabulary, order = hico_det_vocabulary(), hico_object_order().tolist()
    hico_id = {coco: hico for hico, coco in enumerate(order)}
    hois = vocabulary.hois.tolist()
    document = {
        "annotation": [_upt_annotation(r, hico_id) for r in records],
        "filenames": [os.path.basename(r["file_name"]) for r in records],
        "empty": [i for i, r in enumerate(records) if not r["hoi_annotations"]],
        "objects": [vocabulary.objects[i].replace(" ", "_") for i in order],
        "verbs": list(vocabulary.verbs),
        "correspondence": [[i, hico_id[o], v] for i, (o, v) in enumerate(hois)],
    }
    if all("width" in r for r in records):
        document["size"] = [[r["width"], r["height"]] for r in records]
    return document


def _upt_annotation(record: dict, hico_id: dict[int, int]) -> dict:
    entities, pairs = record["annotations"], record["hoi_annotations"]

    def boxes(key: str) -> list[list[float]]:
        found = [entities[p[key]]["bbox"] for p in pairs]
        return [[x0 + 1, y0 + 1, x1, y1] for x0, y0, x1, y1 in found]

    return {
        "boxes_h": boxes("human"),
        "boxes_o": boxes("object"),
        "hoi": [p["hoi"] for p in pairs],
        "object": [hico_id[entities[p["object"]]["category_id"]] for p in pairs],
        "verb": [p["verb"] for p in pairs],
    }


def convert_official(mat_file: Path, folder: Path) -> list[Path]:
    """Writes `instances_{train,test}2015.json` from `anno_bbox.mat`, which is slow to read."""
    written = []
    for part in PARTS:
        target = folder / f"instances_{part}2015.json"
        if not target.is_file():
            document = upt_document(load_hico_det(mat_file, split=part))
            partial = target.with_name(f"{target.name}.part")
            partial.write_text(json.dumps(document))
            os.replace(partial, target)
            written.append(target)
    return written
