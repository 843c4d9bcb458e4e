"""The toy world as registered datasets.

`toy_hoi_{train,val}` have boxes and pairs, `toy_hoi_cls_{train,val}` HICO's image-level labels.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from hoi_d2.data.datasets.hico import AMBIGUOUS, NEGATIVE, POSITIVE, UNKNOWN
from hoi_d2.data.toy import scene as toy
from hoi_d2.data.vocabulary import hico_det_vocabulary

BOXMODE_XYXY_ABS = 0
COMES_CLOSE_TO = {"carry": "hold", "drag": "hold", "pick_up": "hold", "jump": "ride"}
RARE_HOIS = (10, 13, 90, 129, 131, 133, 244, 247, 337, 458, 460, 496, 513, 517, 525)
"""HOI ids with fewer than 10 training pairs; a test counts them again."""
# fmt: off
TRAINING_POSITIVES = (
    6, 346, 5, 269, 488, 539, 181, 11, 57, 479, 7, 2, 6, 5, 176, 472, 467, 48, 9, 443, 8, 666, 618,
    6, 188, 388, 12, 532, 75, 186, 63, 199, 5, 489, 6, 537, 62, 193, 257, 473, 2, 427, 186, 470,
    233, 5, 214, 2, 64, 203, 455, 455, 7, 11, 627, 627,
)
# fmt: on
"""Training images that show each of `drawn_hois()`; a test counts them again."""


def drawn_hois() -> list[int]:
    """Returns the HOI ids that the toy world draws, in order."""
    vocabulary = hico_det_vocabulary()
    drawn = {(a.object, verb) for a in toy.ACTIONS for verb in a.verbs}
    ids = (
        vocabulary.hoi_of[vocabulary.objects.index(obj), vocabulary.verbs.index(verb)]
        for obj, verb in drawn
    )
    return sorted(int(i) for i in ids)


def toy_metadata() -> dict:
    """Returns the metadata of every toy dataset."""
    vocabulary = hico_det_vocabulary()
    return {
        "thing_classes": list(vocabulary.objects),
        "vocabulary": vocabulary,
        "rare_hois": list(RARE_HOIS),
        "evaluated_hois": drawn_hois(),
    }


def few_shot_metadata() -> dict:
    """Returns the metadata that the image-level metric needs for its few-shot groups."""
    positives = np.zeros(len(hico_det_vocabulary().hois), dtype=np.int64)
    positives[drawn_hois()] = TRAINING_POSITIVES
    return {"training_positives": positives}


def toy_record(split: str, index: int) -> dict:
    """Returns the dataset dict of one toy image; its `file_name` is drawn, not read."""
    vocabulary = hico_det_vocabulary()
    scene = toy.toy_scene(split, index)
    entities: list[dict[str, Any]] = [
        {
            "bbox": list(box),
            "bbox_mode": BOXMODE_XYXY_ABS,
            "category_id": vocabulary.objects.index(kind),
            "iscrowd": 0,
        }
        for box, kind in zip(scene.boxes, scene.kinds)
    ]
    pairs = []
    for human, obj, verbs in scene.interactions:
        for name in verbs:
            verb = vocabulary.verbs.index(name)
            hoi = int(vocabulary.hoi_of[entities[obj]["category_id"], verb])
            pairs.append({"human": human, "object": obj, "verb": verb, "hoi": hoi})
    return {
        "file_name": f"{toy.SCHEME}{split}/{index}",
        "image_id": index + 1,
        "height": scene.height,
        "width": scene.width,
        "annotations": entities,
        "hoi_annotations": pairs,
    }


def register_toy() -> None:
    """Registers the four datasets; images are drawn when they are read."""
    for split in toy.SPLITS:
        for form, load, kind in (("", load_toy, "hico_det"), ("cls_", load_toy_labels, "hico")):
            name = f"toy_hoi_{form}{split}"
            if name not in DatasetCatalog.list():
                DatasetCatalog.register(name, partial(load, split))
                metadata = toy_metadata() | (few_shot_metadata() if form else {})
                MetadataCatalog.get(name).set(**metadata, evaluator_type=kind)


@lru_cache(maxsize=2)
def load_toy(split: str) -> list[dict]:
    """Returns every dataset dict of a split ("train" or "val"), in the order of its images."""
    return [toy_record(split, index) for index in range(toy.SPLITS[split][1])]


def image_labels(record: dict) -> np.ndarray:
    """Returns (600,) int8 of an image, as HICO has them.

    1 = done in the image; 0 = ambiguous: what is done comes close to it (who carries also
    holds); -1 = the object is there, the interaction is not; -2 = the object is not there: unknown.
    """
    vocabulary = hico_det_vocabulary()
    present = {entity["category_id"] for entity in record["annotations"]}
    labels = np.where(np.isin(vocabulary.hois[:, 0], list(present)), NEGATIVE, UNKNOWN)
    labels = labels.astype(np.int8)
    for pair in record["hoi_annotations"]:
        obj = record["annotations"][pair["object"]]["category_id"]
        close = COMES_CLOSE_TO.get(vocabulary.verbs[pair["verb"]])
        if close and (hoi := vocabulary.hoi_of[obj, vocabulary.verbs.index(close)]) >= 0:
            labels[hoi] = AMBIGUOUS
    labels[[pair["hoi"] for pair in record["hoi_annotations"]]] = POSITIVE
    return labels


@lru_cache(maxsize=2)
def load_toy_labels(split: str) -> list[dict]:
    """Returns the records of `load_toy` with `image_labels` instead of boxes and pairs."""
    empty: dict[str, list] = {"annotations": [], "hoi_annotations": []}
    return [r | empty | {"image_labels": image_labels(r)} for r in load_toy(split)]
