"""The toy world as registered datasets: `toy_hoi_train`, `toy_hoi_val`, and their label form."""

from __future__ import annotations

from functools import lru_cache, partial

from detectron2.data import DatasetCatalog, MetadataCatalog

from hoi_d2.data import toy
from hoi_d2.data.vocabulary import hico_det_vocabulary

BOXMODE_XYXY_ABS = 0
RARE_HOIS = (10, 13, 90, 129, 131, 133, 244, 247, 337, 458, 460, 496, 513, 517, 525)
"""HOI ids with fewer than 10 training pairs; a test counts them again."""


def drawn_hois() -> list[int]:
    """The HOI ids that the toy world draws, in order."""
    vocabulary = hico_det_vocabulary()
    drawn = {(a.object, verb) for a in toy.ACTIONS for verb in a.verbs}
    ids = (
        vocabulary.hoi_of[vocabulary.objects.index(obj), vocabulary.verbs.index(verb)]
        for obj, verb in drawn
    )
    return sorted(int(i) for i in ids)


def toy_metadata() -> dict:
    """What MetadataCatalog tells of both splits."""
    vocabulary = hico_det_vocabulary()
    return {
        "thing_classes": list(vocabulary.objects),
        "vocabulary": vocabulary,
        "rare_hois": list(RARE_HOIS),
        "evaluated_hois": drawn_hois(),
        "evaluator_type": "hico_det",
    }


def toy_record(split: str, index: int) -> dict:
    """The dataset dict of one toy picture; its `file_name` is drawn, not read."""
    vocabulary = hico_det_vocabulary()
    scene = toy.toy_scene(split, index)
    entities = [
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
    """Registers toy_hoi_train and toy_hoi_val; nothing is drawn yet."""
    for split in toy.SPLITS:
        name = f"toy_hoi_{split}"
        if name in DatasetCatalog.list():
            continue
        DatasetCatalog.register(name, partial(load_toy, split))
        MetadataCatalog.get(name).set(**toy_metadata())


@lru_cache(maxsize=2)
def load_toy(split: str) -> list[dict]:
    """Every dataset dict of a split ("train" or "val"), in the order of its pictures."""
    return [toy_record(split, index) for index in range(toy.SPLITS[split][1])]
