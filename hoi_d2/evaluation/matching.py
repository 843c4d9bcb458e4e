"""Which detections are true positives, on arrays: HICO-DET's rule and the peers' variants of it.

No loop runs over detections: rows of one (image, class) are combined with the ground truth of the
same (image, class) as one flat list of pairs. Because the official rule has no second choice, the
true positive of a ground-truth pair is the best-ranked detection that chose it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_BLOCK = 1 << 16
"""Overlaps computed at a time, so that they fit the processor's cache and memory stays bounded."""


def pairwise_iou(
    boxes: np.ndarray, others: np.ndarray, *, pixel: float = 0.0, strict: bool = False
) -> np.ndarray:
    """IoU row by row; 0 where a box is NaN or the two do not overlap.

    Args:
        boxes: (M, 4) XYXY.
        others: (M, 4) XYXY.
        pixel: 0 for continuous boxes, 1 for boxes that name their last pixel.
        strict: with `pixel` 1, boxes that share a single row or column do not overlap (QPIC).

    Returns:
        (M,) float64.
    """
    a, b = boxes.T.astype(np.float64), others.T.astype(np.float64)
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0]) + pixel
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1]) + pixel
    least = pixel if strict else 0.0
    overlap = (width > least) & (height > least)
    inter = width * height
    area_a = (a[2] - a[0] + pixel) * (a[3] - a[1] + pixel)
    area_b = (b[2] - b[0] + pixel) * (b[3] - b[1] + pixel)
    iou = np.zeros(len(inter))
    np.divide(inter, area_a + area_b - inter, out=iou, where=overlap)
    return iou


@dataclass(frozen=True, eq=False)
class Groups:
    """Items sorted by an integer key, to find all items of one key.

    Args:
        keys: (G,) the distinct keys, ascending.
        starts: (G,) first place of each key in `items`.
        counts: (G,).
        items: (P,) the items, sorted by key, in their own order within a key.
    """

    keys: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    items: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray) -> Groups:
        """Groups the positions of an array by its values."""
        items = np.argsort(keys, kind="stable")
        distinct, starts, counts = np.unique(keys[items], return_index=True, return_counts=True)
        return cls(distinct, starts, counts, items)

    def counts_of(self, queries: np.ndarray) -> np.ndarray:
        """Returns the number of items (R,) with the key of each query."""
        if not len(self.keys):
            return np.zeros(len(queries), dtype=np.int64)
        group = np.minimum(np.searchsorted(self.keys, queries), len(self.keys) - 1)
        return np.where(self.keys[group] == queries, self.counts[group], 0)

    def join(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns every (query, item) combination with equal keys.

        Args:
            queries: (R,) keys.

        Returns:
            (Q,) the queries that have an item at all; (M,) item of each combination, query after
            query; (Q,) place in the combinations where each of these queries begins.
        """
        if not len(self.keys):
            none = np.zeros(0, dtype=np.int64)
            return none, none, none
        # the keys are sorted: a binary search finds the group, or a neighbour with another key
        group = np.minimum(np.searchsorted(self.keys, queries), len(self.keys) - 1)
        with_items = np.flatnonzero(self.keys[group] == queries)
        group = group[with_items]
        counts = self.counts[group]
        # query q has counts[q] combinations, written consecutively from begins[q]: `within` counts
        # 0, 1, ... in each run, so that starts + within walks through the items of the group
        begins = np.cumsum(counts) - counts
        within = np.arange(counts.sum()) - np.repeat(begins, counts)
        return with_items, self.items[np.repeat(self.starts[group], counts) + within], begins


def first_argmax(values: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Returns the place of the first maximum of each segment.

    Args:
        values: (M,) no NaN.
        begins: (Q,) ascending starts of non-empty segments that cover `values`.

    Returns:
        (Q,) places in `values`.
    """
    if not len(begins):
        return np.zeros(0, dtype=np.int64)
    counts = np.diff(np.append(begins, len(values)))
    # the first place with the segment's maximum: other places are moved beyond the end
    is_max = values == np.repeat(np.maximum.reduceat(values, begins), counts)
    places = np.where(is_max, np.arange(len(values)), len(values))
    return np.minimum.reduceat(places, begins)


@dataclass(frozen=True, eq=False)
class PairTable:
    """Boxes and a key of R detected or P annotated pairs; equal keys may match.

    Args:
        keys: (R,) int64, for example image and class in one number.
        human_boxes: (R, 4) XYXY.
        object_boxes: (R, 4) XYXY.
    """

    keys: np.ndarray
    human_boxes: np.ndarray
    object_boxes: np.ndarray


def best_pairs(
    detections: PairTable, truth: PairTable, *, pixel: float = 0.0, strict: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ground-truth pair that each detection overlaps most, taken or not.

    Args:
        detections: R rows.
        truth: P rows.
        pixel, strict: see `pairwise_iou`.

    Returns:
        (R,) row of the pair with the largest min(IoU_human, IoU_object), the first of equals, -1
        where the key has no ground truth; (R,) that overlap.
    """
    best = np.full(len(detections.keys), -1, dtype=np.int64)
    overlap = np.zeros(len(detections.keys))
    groups = Groups.of(truth.keys)
    options: dict[str, Any] = {"pixel": pixel, "strict": strict}
    met = np.cumsum(groups.counts_of(detections.keys))
    cuts = np.flatnonzero(np.diff(met // _BLOCK)) + 1
    for start, end in zip([0, *cuts], [*cuts, len(best)]):
        part = slice(start, end)
        queries, items, begins = groups.join(detections.keys[part])
        rows = start + np.repeat(queries, np.diff(np.append(begins, len(items))))
        value = np.minimum(
            pairwise_iou(detections.human_boxes[rows], truth.human_boxes[items], **options),
            pairwise_iou(detections.object_boxes[rows], truth.object_boxes[items], **options),
        )
        chosen = first_argmax(value, begins)
        best[part][queries], overlap[part][queries] = items[chosen], value[chosen]
    return best, overlap


def first_claims(claims: np.ndarray) -> np.ndarray:
    """Marks the first row that claims each item.

    Args:
        claims: (R,) item that each row claims, best row first; -1 = none.

    Returns:
        (R,) bool: true positives.
    """
    true_positive = np.zeros(len(claims), dtype=bool)
    claiming = np.flatnonzero(claims >= 0)
    _, first = np.unique(claims[claiming], return_index=True)
    true_positive[claiming[first]] = True
    return true_positive


def hash_rows(*columns: np.ndarray) -> np.ndarray:
    """Returns keys (R,) uint64, equal for rows that are equal in every column (NaN equal to NaN).

    Args:
        *columns: (R,) or (R, D) arrays.
    """
    hashes = np.zeros(len(columns[0]), dtype=np.uint64)
    for bits in _comparable(columns):
        hashes = (hashes ^ bits.view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    return hashes


def identify_rows(*columns: np.ndarray) -> np.ndarray:
    """Numbers for rows, equal where the rows are equal in every column (NaN equal to NaN).

    Args:
        *columns: (R,) or (R, D) arrays.

    Returns:
        (R,) int64, arbitrary but equal for equal rows.
    """
    # sorting one hash per row is ten times as fast as sorting a dozen columns
    _, first, numbers = np.unique(hash_rows(*columns), return_index=True, return_inverse=True)
    numbers = numbers.reshape(-1)
    if all((values[first[numbers]] == values).all() for values in _comparable(columns)):
        return numbers
    rows = np.column_stack(list(_comparable(columns)))  # a hash collision: compare all columns
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)


def _comparable(columns: tuple[np.ndarray, ...]) -> Iterator[np.ndarray]:
    """Each column as float64 without NaN or -0."""
    for column in columns:
        for values in column[None] if column.ndim == 1 else column.T:
            values = values.astype(np.float64)
            if column.dtype.kind == "f":
                values = np.where(np.isnan(values), -1e300, values) + 0.0
            yield np.ascontiguousarray(values)


def rank(classes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns the order (R,) by class, then by score descending; equal scores keep their order."""
    by_score = np.argsort(-scores, kind="stable")
    return by_score[np.argsort(classes[by_score], kind="stable")]


def top_per_image(images: np.ndarray, scores: np.ndarray, limit: int) -> np.ndarray:
    """Returns a mask (R,) of the `limit` best rows of each image; equal scores keep their order."""
    order = rank(images, scores)
    sorted_images = images[order]
    place = np.arange(len(order)) - np.searchsorted(sorted_images, sorted_images)
    keep = np.zeros(len(order), dtype=bool)
    keep[order[place < limit]] = True
    return keep


def pair_nms(
    table: PairTable, scores: np.ndarray, *, threshold: float, object_power: float
) -> np.ndarray:
    """Suppresses pairs that repeat a better one of the same key (CDN's pair-wise NMS).

    Args:
        table: R pairs; only equal keys suppress each other.
        scores: (R,).
        threshold: a pair goes if IoU_human * IoU_object ** object_power with a better one that
            stays is larger than this; boxes as inclusive pixels.
        object_power: see `threshold`.

    Returns:
        (R,) mask of the pairs that stay.
    """
    order = rank(table.keys, scores)
    keys = table.keys[order]
    start = np.searchsorted(keys, keys)
    place = np.arange(len(order)) - start
    size = np.searchsorted(keys, keys, side="right") - start
    humans, objects = table.human_boxes[order], table.object_boxes[order]
    alive = np.ones(len(order), dtype=bool)
    # all groups advance together: in step k the k-th best row of each group, if it is still there,
    # suppresses the rows after it
    for leader_place in range(int(size.max(initial=0)) - 1):
        followers = np.flatnonzero((place > leader_place) & alive)
        leaders = start[followers] + leader_place
        followers, leaders = followers[alive[leaders]], leaders[alive[leaders]]
        iou_o = pairwise_iou(objects[leaders], objects[followers], pixel=1.0)
        iou_h = pairwise_iou(humans[leaders], humans[followers], pixel=1.0)
        alive[followers[iou_h * iou_o**object_power > threshold]] = False
    keep = np.zeros(len(order), dtype=bool)
    keep[order[alive]] = True
    return keep
