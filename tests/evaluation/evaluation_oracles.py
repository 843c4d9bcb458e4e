"""The published rules written down literally: slow, one detection at a time, no shared code.

Each follows the words of `docs/evaluation.md`, with the inclusive pixels and the loops of the
original tools, and knows nothing of how the library does it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

MATLAB_RECALLS = [0.0, 0.1, 0.2, 3 * 0.1, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
NUMPY_RECALLS = [i * 0.1 for i in range(11)]


class Detection(NamedTuple):
    """A detection or an annotated pair; boxes XYXY continuous."""

    image: int
    human: list[float]
    object: list[float]
    cls: int
    score: float = 0.0


def inclusive_iou(a: list[float], b: list[float]) -> float:
    """IoU of boxes that name their last pixel; 0 for NaN."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if any(math.isnan(v) for v in [*a, *b]) or width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    area_a = (a[2] - a[0] + 1) * (a[3] - a[1] + 1)
    area_b = (b[2] - b[0] + 1) * (b[3] - b[1] + 1)
    return inter / (area_a + area_b - inter)


def last_pixel(box: list[float]) -> list[float]:
    """A continuous box as inclusive pixels."""
    return [box[0], box[1], box[2] - 1, box[3] - 1]


def eleven_points(hits: list[bool], positives: int, recalls=MATLAB_RECALLS) -> float:
    """11-point AP of a ranked list."""
    if not hits or not positives:
        return 0.0
    recall, precision, found = [], [], 0
    for rank, hit in enumerate(hits, start=1):
        found += hit
        recall.append(found / positives)
        precision.append(found / rank)
    total = 0.0
    for t in recalls:
        total += max([p for r, p in zip(recall, precision) if r >= t], default=0.0) / 11
    return total


def area_under(hits: list[bool], positives: int) -> float:
    """VOC's all-point AP, as `voc_ap` of py-faster-rcnn computes it."""
    recall, precision, found = [0.0], [0.0], 0
    for rank, hit in enumerate(hits, start=1):
        found += hit
        recall.append(found / positives if positives else 0.0)
        precision.append(found / rank)
    recall.append(1.0)
    precision.append(0.0)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum(
        (recall[i + 1] - recall[i]) * precision[i + 1]
        for i in range(len(recall) - 1)
        if recall[i + 1] != recall[i]
    )


def hico_det(
    detections: list[Detection], truth: list[Detection], num_classes: int
) -> tuple[list[float], list[float]]:
    """AP and final recall of each class, as VOCevaldet_bboxpair.m."""
    aps, recalls = [], []
    for cls in range(num_classes):
        pairs = [t for t in truth if t.cls == cls]
        free = [True] * len(pairs)
        hits = []
        ranked = sorted((d for d in detections if d.cls == cls), key=lambda d: d.image)
        for det in sorted(ranked, key=lambda d: -d.score):
            best, chosen = -math.inf, None
            for j, pair in enumerate(pairs):
                if pair.image != det.image:
                    continue
                overlap = min(
                    inclusive_iou(last_pixel(det.human), last_pixel(pair.human)),
                    inclusive_iou(last_pixel(det.object), last_pixel(pair.object)),
                )
                if overlap > best:
                    best, chosen = overlap, j
            hit = best >= 0.5 and free[chosen]
            if hit:
                free[chosen] = False
            hits.append(hit)
        aps.append(eleven_points(hits, len(pairs)))
        recalls.append(sum(hits) / len(pairs) if pairs else math.nan)
    return aps, recalls


def keep_known_objects(
    detections: list[Detection], object_of: list[int], present: set[tuple[int, int]]
) -> list[Detection]:
    """Detections in images that hold the object of their class."""
    return [d for d in detections if (d.image, object_of[d.cls]) in present]


def peer_overlap(a: list[float], b: list[float]) -> float:
    """QPIC's IoU: inclusive, but 0 where no more than one row or column is shared."""
    if min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1]):
        return 0.0
    return inclusive_iou(a, b)


def qpic(
    detections: list[Detection], truth: list[Detection], num_classes: int, nms: float | None = None
) -> list[float]:
    """AP of each class, as QPIC's hico_eval.py, and with `nms` as CDN's hico_eval_triplet.py."""
    kept: list[Detection] = []
    for image in sorted({d.image for d in detections}):
        best = sorted((d for d in detections if d.image == image), key=lambda d: -d.score)[:100]
        kept += best if nms is None else pairwise_nms(best, nms)
    one_based = [
        t._replace(
            human=[t.human[0] + 1, t.human[1] + 1, *t.human[2:]],
            object=[t.object[0] + 1, t.object[1] + 1, *t.object[2:]],
        )
        for t in truth
    ]
    aps = []
    for cls in range(num_classes):
        pairs = [t for t in one_based if t.cls == cls]
        free, hits = [True] * len(pairs), []
        for det in sorted((d for d in kept if d.cls == cls), key=lambda d: -d.score):
            best, chosen = 0.0, None
            for j, pair in enumerate(pairs):
                human = peer_overlap(det.human, pair.human)
                obj = peer_overlap(det.object, pair.object)
                if pair.image == det.image and human >= 0.5 and obj >= 0.5:
                    if min(human, obj) > best:
                        best, chosen = min(human, obj), j
            hits.append(chosen is not None and free[chosen])
            if hits[-1]:
                free[chosen] = False
        aps.append(eleven_points(hits, len(pairs), NUMPY_RECALLS))
    return aps


def pairwise_nms(detections: list[Detection], threshold: float) -> list[Detection]:
    """CDN's NMS over the pairs of one image, class by class."""
    kept: list[Detection] = []
    for cls in sorted({d.cls for d in detections}):
        rest = sorted((d for d in detections if d.cls == cls), key=lambda d: -d.score)
        while rest:
            first = rest.pop(0)
            kept.append(first)
            rest = [
                d
                for d in rest
                if inclusive_iou(first.human, d.human)
                * math.sqrt(inclusive_iou(first.object, d.object))
                <= threshold
            ]
    return kept


class Person(NamedTuple):
    """An annotated person of V-COCO; boxes XYXY inclusive; objects: verb -> box or None."""

    image: int
    box: list[float]
    ignored: bool
    actions: set[int]
    objects: dict[int, list[float]]


class Pair(NamedTuple):
    """A detected pair of V-COCO with a score for each action-role that it has; object or None."""

    image: int
    human: list[float]
    object: list[float] | None
    scores: dict[int, float]


def vcoco_agents(pairs: list[Pair], persons: list[Person], action_of: list[int]) -> list[float]:
    """Agent AP of each action, as `_do_agent_eval`."""
    aps = []
    for action in range(max(action_of) + 1):
        verbs = [v for v, a in enumerate(action_of) if a == action]
        rows = []
        for image in sorted({p.image for p in pairs}):
            scored = []
            for pair in (p for p in pairs if p.image == image):
                values = [pair.scores[v] for v in verbs if v in pair.scores]
                if values:
                    scored.append((max(values), pair))
            rows += _judge(scored, persons, image, action, lambda person, pair: True)
        aps.append(_ap(rows, sum(action in p.actions for p in persons)))
    return aps


def vcoco_roles(
    pairs: list[Pair], persons: list[Person], action_of: list[int], scenario: int
) -> list[float]:
    """Role AP of each action-role, as `_do_role_eval`."""

    def object_right(verb: int):
        def right(person: Person, pair: Pair) -> bool:
            wanted = person.objects.get(verb)
            if wanted is None:
                return scenario == 2 or pair.object is None or pair.object == [0, 0, 0, 0]
            return pair.object is not None and inclusive_iou(wanted, pair.object) >= 0.5

        return right

    aps = []
    for verb, action in enumerate(action_of):
        rows = []
        for image in sorted({p.image for p in pairs}):
            scored = [(p.scores[verb], p) for p in pairs if p.image == image and verb in p.scores]
            rows += _judge(scored, persons, image, action, object_right(verb))
        aps.append(_ap(rows, sum(action in p.actions for p in persons)))
    return aps


def _judge(scored, persons: list[Person], image: int, action: int, object_right) -> list:
    """(score, hit) of the detections of one image that do not vanish."""
    here = [p for p in persons if p.image == image]
    covered, rows = [False] * len(here), []
    for score, pair in sorted(scored, key=lambda s: -s[0]):
        overlaps = [inclusive_iou(p.box, pair.human) for p in here]
        if not here:
            rows.append((score, False))
            continue
        j = overlaps.index(max(overlaps))
        if here[j].ignored:
            continue
        hit = action in here[j].actions and overlaps[j] >= 0.5 and object_right(here[j], pair)
        rows.append((score, hit and not covered[j]))
        covered[j] |= hit
    return rows


def _ap(rows: list, positives: int) -> float:
    ranked = sorted(rows, key=lambda r: -r[0])
    return area_under([hit for _, hit in ranked], positives)


def image_level(scores, labels, left_out: set[int]) -> list[float]:
    """11-point AP of each class of image-level labels, NaN without positive."""
    aps = []
    for cls in range(len(scores[0]) if len(scores) else 0):
        column = [
            (s[cls], label[cls] == 1)
            for s, label in zip(scores, labels)
            if label[cls] not in left_out
        ]
        positives = sum(hit for _, hit in column)
        ranked = sorted(column, key=lambda entry: -entry[0])
        aps.append(eleven_points([h for _, h in ranked], positives) if positives else math.nan)
    return aps
