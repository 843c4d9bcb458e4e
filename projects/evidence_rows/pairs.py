"""What boxes and classes tell about every pair of HICO-DET, computed once: no label is looked at.

The numbers are those that the layout model starts from (`hoi_d2.modeling.roi_heads`), so a trunk
over them can be trained without a class that must not be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hoi_d2.data.dataset import open_dataset
from hoi_d2.data.holdout import hold_out
from hoi_d2.data.layout_mapper import LayoutMapper
from hoi_d2.data.vocabulary import hico_det_vocabulary
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.modeling.meta_arch.layout import (
    human_object_pairs,
    matched_verbs,
    packed,
    packed_targets,
)
from hoi_d2.modeling.roi_heads.layout_features import (
    entity_surroundings,
    pair_geometry,
    pair_rivalry,
)

VOCABULARY = hico_det_vocabulary()
HOIS = torch.from_numpy(VOCABULARY.hois)  # (600, 2) object and verb
VALID = torch.from_numpy(VOCABULARY.valid_verbs)  # (80, 117)
FILES = {"train": "trainval_hico.json", "test": "test_hico.json"}
_IOU, _BATCH = 0.5, 64


@dataclass(frozen=True)
class Pairs:
    """Every human with every other box, of the annotated boxes of all images.

    Attributes:
        features: (M, F) float16.
        kinds: (M,) class of the object.
        verbs: (M, 117) uint8, annotated.
        boxes: (M, 2, 4) XYXY, human and object.
        images: (M,) `image_id`.
    """

    features: Tensor
    kinds: Tensor
    verbs: Tensor
    boxes: Tensor
    images: Tensor

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, rows: Tensor) -> Pairs:
        return Pairs(*(getattr(self, f.name)[rows] for f in fields(self)))

    @cached_property
    def labels(self) -> Tensor:
        """(M, 600) int8 in HICO's values: 1, and -1 for everything else."""
        positive = self.verbs[:, HOIS[:, 1]].bool() & (self.kinds[:, None] == HOIS[:, 0])
        return 2 * positive.to(torch.int8) - 1

    @cached_property
    def candidates(self) -> tuple[Tensor, HOIResults]:
        """(R,) pair of each class that goes with a pair's object, and these without scores."""
        pair, hoi = (self.kinds[:, None] == HOIS[:, 0]).nonzero(as_tuple=True)
        human, object_ = self.boxes[pair].unbind(dim=1)
        columns = (self.images[pair], human, object_, self.kinds[pair], HOIS[hoi, 1], hoi)
        return pair, HOIResults(*(c.numpy() for c in (*columns, torch.zeros(len(pair)))))


def load(folder: Path, cache: Path) -> dict[str, Any]:
    """Records and pairs of `train` (nine tenths of the images), `val` (the tenth) and `test`.

    Args:
        folder: of HICO-DET's annotation files, as PPDM and QPIC name them.
        cache: where the pairs are kept.
    """
    train = open_dataset(folder / FILES["train"], split="train").records
    test = open_dataset(folder / FILES["test"], split="test").records
    everything = {"train": train, "test": test}
    pairs = {name: _cached(r, cache / f"pairs_{name}.pt") for name, r in everything.items()}
    _, held = hold_out(train)
    is_held = np.isin(pairs["train"].images.numpy(), [r["image_id"] for r in held])
    is_held = torch.from_numpy(is_held)
    return {
        "train": (train, pairs["train"][~is_held]),
        "val": (held, pairs["train"][is_held]),
        "test": (test, pairs["test"]),
    }


def _cached(records: list[dict], file: Path) -> Pairs:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        pairs = look(records)
        torch.save({f.name: getattr(pairs, f.name) for f in fields(pairs)}, file)
    return Pairs(**torch.load(file, weights_only=True))


def look(records: list[dict]) -> Pairs:
    """The pairs of dataset dicts; boxes of one class that overlap by half are merged."""
    mapper = LayoutMapper(is_train=True, num_verbs=len(VOCABULARY.verbs))
    parts = [
        _look([mapper(r) for r in records[i : i + _BATCH]]) for i in range(0, len(records), _BATCH)
    ]
    return Pairs(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Pairs)))


def _look(mapped: list[dict]) -> Pairs:
    instances = [m["instances"] for m in mapped]
    annotated = packed(instances)
    found = annotated.merged(_IOU, len(VOCABULARY.objects))
    counts = torch.bincount(found.images, minlength=len(mapped))
    rows = human_object_pairs(found, counts, VOCABULARY.person)
    human, object_ = rows.unbind(dim=1)
    targets = packed_targets([m["hoi_instances"] for m in mapped], instances)
    boxes, classes = found.boxes, found.classes
    numbers, bags = entity_surroundings(boxes, classes, counts.tolist(), len(VOCABULARY.objects))
    touching, _, in_image = bags.chunk(3, dim=1)
    features = [
        pair_geometry(boxes[human], boxes[object_]),
        pair_rivalry(boxes[human], boxes[object_], rows, classes[object_]),
        *(numbers[human], numbers[object_], touching[human], in_image[human]),
    ]
    image_ids = torch.tensor([m["image_id"] for m in mapped])
    return Pairs(
        torch.cat(features, dim=1).half(),
        classes[object_],
        matched_verbs(found, rows, annotated, *targets, _IOU).to(torch.uint8),
        boxes[rows],
        image_ids[found.images[human]],
    )
