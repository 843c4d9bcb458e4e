"""Ground truth as columns, made once from the dataset dicts of `DatasetCatalog`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class HOIGroundTruth:
    """N images, E entities and P annotated interactions (one row per pair and verb).

    Args:
        image_ids: (N,) int64, ascending.
        image_sizes: (N, 2) height, width.
        entity_images: (E,) row of the image in `image_ids`; ascending.
        entity_boxes: (E, 4) XYXY, continuous 0-based absolute pixels.
        entity_classes: (E,).
        pair_humans: (P,) row of the entity.
        pair_objects: (P,) row of the entity, -1 = no visible object.
        verb_classes: (P,).
        hoi_classes: (P,), -1 = the vocabulary has no such class.
    """

    image_ids: np.ndarray
    image_sizes: np.ndarray
    entity_images: np.ndarray
    entity_boxes: np.ndarray
    entity_classes: np.ndarray
    pair_humans: np.ndarray
    pair_objects: np.ndarray
    verb_classes: np.ndarray
    hoi_classes: np.ndarray

    @classmethod
    def from_dataset_dicts(cls, dataset_dicts: Sequence[dict[str, Any]]) -> HOIGroundTruth:
        """Flattens dataset dicts; pairs keep the order of the file within an image.

        Raises:
            ValueError: two records have the same `image_id`.
        """
        dicts = sorted(dataset_dicts, key=lambda record: record["image_id"])
        ids = np.asarray([d["image_id"] for d in dicts], dtype=np.int64)
        repeated = ids[1:][ids[1:] == ids[:-1]]
        if len(repeated):
            raise ValueError(f"image_id {repeated[0]} stands for more than one record")
        entities = [d.get("annotations", ()) for d in dicts]
        pairs = [d.get("hoi_annotations", ()) for d in dicts]
        counts = np.asarray([len(e) for e in entities], dtype=np.int64)
        first_entity = np.repeat(np.cumsum(counts) - counts, [len(p) for p in pairs])
        column = _pair_columns(pairs)
        objects = column["object"]
        return cls(
            image_ids=ids,
            image_sizes=_sizes(dicts),
            entity_images=np.repeat(np.arange(len(dicts)), counts),
            entity_boxes=_boxes(entities),
            entity_classes=_flat(e["category_id"] for e in chain.from_iterable(entities)),
            pair_humans=column["human"] + first_entity,
            pair_objects=np.where(objects < 0, -1, objects + first_entity),
            verb_classes=column["verb"],
            hoi_classes=column["hoi"],
        )

    @property
    def pair_images(self) -> np.ndarray:
        """(P,) row of each pair's image in `image_ids`."""
        return self.entity_images[self.pair_humans]

    @property
    def human_boxes(self) -> np.ndarray:
        """(P, 4) boxes of the pairs' humans."""
        return self.entity_boxes[self.pair_humans]

    @property
    def object_boxes(self) -> np.ndarray:
        """(P, 4) boxes of the pairs' objects, NaN where there is none."""
        boxes = self.entity_boxes[self.pair_objects] if len(self.entity_boxes) else None
        if boxes is None:
            return np.full((len(self.pair_objects), 4), np.nan)
        return np.where(self.pair_objects[:, None] < 0, np.nan, boxes)

    @property
    def object_classes(self) -> np.ndarray:
        """(P,) classes of the pairs' objects, -1 where there is none."""
        if not len(self.entity_classes):
            return np.full(len(self.pair_objects), -1)
        return np.where(self.pair_objects < 0, -1, self.entity_classes[self.pair_objects])


def rows_of_images(image_ids: np.ndarray, known_ids: np.ndarray) -> np.ndarray:
    """Returns the index of each image id in the ascending `known_ids`, -1 if it is not there."""
    if not len(known_ids):
        return np.full(len(image_ids), -1, dtype=np.int64)
    rows = np.minimum(np.searchsorted(known_ids, image_ids), len(known_ids) - 1)
    return np.where(known_ids[rows] == image_ids, rows, -1)


def _pair_columns(pairs: Sequence[Sequence[dict[str, int]]]) -> dict[str, np.ndarray]:
    names = ("human", "object", "verb", "hoi")
    rows = [(p["human"], p["object"], p["verb"], p.get("hoi", -1)) for ps in pairs for p in ps]
    table = np.asarray(rows, dtype=np.int64).reshape(-1, 4)
    return dict(zip(names, table.T))


def _boxes(entities: Sequence[Sequence[dict[str, Any]]]) -> np.ndarray:
    boxes = chain.from_iterable(e["bbox"] for es in entities for e in es)
    return np.fromiter(boxes, dtype=np.float64).reshape(-1, 4)


def _sizes(dicts: Sequence[dict[str, Any]]) -> np.ndarray:
    sizes = [(d.get("height") or 0, d.get("width") or 0) for d in dicts]
    return np.asarray(sizes, dtype=np.int64).reshape(-1, 2)


def _flat(values: Any) -> np.ndarray:
    return np.fromiter(values, dtype=np.int64)
