"""Statistics of a dataset: classes, pairs per image, verbs per pair, box sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hoi_d2.data.datasets.records import NO_OBJECT
from hoi_d2.data.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class DatasetStatistics:
    """Counts over N images with E entities and P pairs.

    Args:
        images: N.
        pairs_per_image: (N,) distinct (human, object) pairs, those without an object included.
        verbs_per_pair: (P,).
        entity_counts: (num_objects,) entities of each class.
        verb_object: (num_verbs, num_objects) interactions with a visible object.
        no_object: (num_verbs,) interactions without a visible object.
        human_sizes: (E_h,) square root of the area of each person's box, in pixels.
        object_sizes: (E_o,) the same of all other boxes.
    """

    images: int
    pairs_per_image: np.ndarray
    verbs_per_pair: np.ndarray
    entity_counts: np.ndarray
    verb_object: np.ndarray
    no_object: np.ndarray
    human_sizes: np.ndarray
    object_sizes: np.ndarray

    @classmethod
    def of(cls, records: Sequence[dict[str, Any]], vocabulary: Vocabulary) -> DatasetStatistics:
        """Counts dataset dicts; image-level labels are ignored."""
        objects, verbs = len(vocabulary.objects), len(vocabulary.verbs)
        entity_counts = np.zeros(objects, dtype=np.int64)
        verb_object = np.zeros((verbs, objects), dtype=np.int64)
        no_object = np.zeros(verbs, dtype=np.int64)
        pairs_per_image: list[int] = []
        verbs_per_pair: list[int] = []
        sizes: dict[bool, list[float]] = {True: [], False: []}
        for record in records:
            entities = record["annotations"]
            for entity in entities:
                x0, y0, x1, y1 = entity["bbox"]
                category = entity["category_id"]
                entity_counts[category] += 1
                sizes[category == vocabulary.person].append(((x1 - x0) * (y1 - y0)) ** 0.5)
            of_pair: Counter[tuple[int, int]] = Counter()
            for pair in record["hoi_annotations"]:
                of_pair[pair["human"], pair["object"]] += 1
                if pair["object"] == NO_OBJECT:
                    no_object[pair["verb"]] += 1
                else:
                    verb_object[pair["verb"], entities[pair["object"]]["category_id"]] += 1
            pairs_per_image.append(len(of_pair))
            verbs_per_pair += of_pair.values()
        return cls(
            images=len(records),
            pairs_per_image=np.asarray(pairs_per_image, dtype=np.int64),
            verbs_per_pair=np.asarray(verbs_per_pair, dtype=np.int64),
            entity_counts=entity_counts,
            verb_object=verb_object,
            no_object=no_object,
            human_sizes=np.asarray(sizes[True]),
            object_sizes=np.asarray(sizes[False]),
        )

    def class_counts(self, vocabulary: Vocabulary) -> tuple[list[str], np.ndarray]:
        """Names and interactions of the HOI classes, or of the verbs where there are none."""
        if len(vocabulary.hois):
            names = [vocabulary.hoi_name(i) for i in range(len(vocabulary.hois))]
            return names, self.verb_object[vocabulary.hois[:, 1], vocabulary.hois[:, 0]]
        return list(vocabulary.verbs), self.verb_object.sum(axis=1) + self.no_object

    def summary(self, vocabulary: Vocabulary) -> dict[str, float]:
        """Returns the statistics that are single numbers, by name."""
        _, counts = self.class_counts(vocabulary)
        boxes = np.concatenate([self.human_sizes, self.object_sizes])
        return {
            "images": self.images,
            "images without a pair": int((self.pairs_per_image == 0).sum()),
            "entities": int(self.entity_counts.sum()),
            "persons": int(self.entity_counts[vocabulary.person]) if len(self.entity_counts) else 0,
            "pairs": len(self.verbs_per_pair),
            "interactions": int(self.verb_object.sum() + self.no_object.sum()),
            "interactions without an object": int(self.no_object.sum()),
            "pairs per image, mean": _mean(self.pairs_per_image),
            "pairs per image, most": int(self.pairs_per_image.max(initial=0)),
            "verbs per pair, mean": _mean(self.verbs_per_pair),
            "classes that occur": int((counts > 0).sum()),
            "classes with fewer than 10": int(((counts > 0) & (counts < 10)).sum()),
            "share of the 10 most frequent classes, %": _share_of_most(counts, 10),
            "box side, median, pixels": float(np.median(boxes)) if len(boxes) else 0.0,
            "boxes smaller than 32 x 32, %": 100 * _mean(boxes < 32),
        }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _share_of_most(counts: np.ndarray, number: int) -> float:
    total = int(counts.sum())
    return 100 * float(np.sort(counts)[::-1][:number].sum()) / total if total else 0.0
