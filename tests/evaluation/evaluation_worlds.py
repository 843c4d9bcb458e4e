"""Small worlds for tests: boxes on a coarse grid, so that ties and overlaps of one half happen."""

from __future__ import annotations

import numpy as np
from evaluation_oracles import Detection
from hypothesis import strategies as st

from hoi_d2.data.vocabulary import Vocabulary
from hoi_d2.evaluation.ground_truth import HOIGroundTruth
from hoi_d2.evaluation.results import NO_OBJECT, HOIResults

IMAGES = (3, 5, 8)
# persons as objects (class 0), two verbs of one object, two objects of one verb
VOCABULARY = Vocabulary.from_hois(
    "small", ("person", "horse", "cup"), ("hug", "ride", "hold"), [(0, 0), (1, 1), (1, 2), (2, 2)]
)
NUM_HOIS = len(VOCABULARY.hois)
NAN_BOX = [float("nan")] * 4

_anywhere = st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 4, 8]))
_crowded = st.tuples(st.integers(1, 3), st.integers(4, 6))  # overlaps of about one half


@st.composite
def boxes(draw) -> list[float]:
    """XYXY on the grid: heaped up in one place, or anywhere and also of one pixel."""
    side = draw(st.sampled_from([_crowded, _crowded, _anywhere]))
    (x, width), (y, height) = draw(side), draw(side)
    return [float(x), float(y), float(x + width), float(y + height)]


@st.composite
def pairs(draw, *, min_size: int = 0, max_size: int = 8, nan: bool = False) -> list[Detection]:
    """Annotated or detected pairs; many share a box."""
    pool = draw(st.lists(boxes(), min_size=2, max_size=6))
    if nan:
        pool = [*pool, NAN_BOX]
    box, image = st.sampled_from(pool), st.sampled_from(IMAGES)
    score = st.integers(0, 12).map(lambda n: n / 8)
    row = st.builds(Detection, image, box, box, st.integers(0, NUM_HOIS - 1), score)
    return draw(st.lists(row, min_size=min_size, max_size=max_size))


def distinct_scores(rows: list[Detection]) -> list[Detection]:
    """The same rows without equal scores; a higher one stays higher."""
    order = sorted(range(len(rows)), key=lambda i: (rows[i].score, i))
    rank = {row: place for place, row in enumerate(order)}
    return [row._replace(score=float(rank[i])) for i, row in enumerate(rows)]


def results_of(rows: list[Detection], vocabulary: Vocabulary = VOCABULARY) -> HOIResults:
    """Detections as columns."""
    classes = np.asarray([r.cls for r in rows], dtype=np.int32)
    hois = vocabulary.hois[classes]
    return HOIResults(
        image_ids=np.asarray([r.image for r in rows], dtype=np.int64),
        human_boxes=np.asarray([r.human for r in rows], dtype=np.float64).reshape(-1, 4),
        object_boxes=np.asarray([r.object for r in rows], dtype=np.float64).reshape(-1, 4),
        object_classes=hois[:, 0].astype(np.int32),
        verb_classes=hois[:, 1].astype(np.int32),
        hoi_classes=classes,
        scores=np.asarray([r.score for r in rows], dtype=np.float64),
    )


def dataset_dicts_of(
    rows: list[Detection], images: tuple[int, ...] = IMAGES, vocabulary: Vocabulary = VOCABULARY
) -> list[dict]:
    """Annotated pairs as dataset dicts; each pair brings entities of its own."""
    records = []
    for image in images:
        entities, interactions = [], []
        for row in (r for r in rows if r.image == image):
            obj, verb = (int(v) for v in vocabulary.hois[row.cls])
            human, other = len(entities), len(entities) + 1
            entities.append({"bbox": row.human, "category_id": 0})
            if np.isnan(row.object[0]):
                other = NO_OBJECT
            else:
                entities.append({"bbox": row.object, "category_id": obj})
            entry = {"human": human, "object": other, "verb": verb, "hoi": row.cls}
            interactions.append(entry)
        record = {"file_name": f"{image}.jpg", "image_id": image, "height": 20, "width": 20}
        records.append(record | {"annotations": entities, "hoi_annotations": interactions})
    return records


def truth_of(rows: list[Detection], images: tuple[int, ...] = IMAGES) -> HOIGroundTruth:
    """Annotated pairs as columns."""
    return HOIGroundTruth.from_dataset_dicts(dataset_dicts_of(rows, images))
