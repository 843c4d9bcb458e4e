"""Reads the result files of PPDM, QPIC and CDN: a list of images.

    [{"file_name" or "filename", "predictions": [{"bbox": XYXY, "category_id", "score"}],
      "hoi_prediction": [{"subject_id", "object_id", "category_id": verb, "score"}]}]

Subject and object are indices into `predictions`. PPDM writes COCO's category ids (a person is 1)
and counts verbs from 1; QPIC and CDN number objects 0..79 (a person is 0) and verbs from 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hoi_d2.data.datasets.forms import dataset_of
from hoi_d2.data.datasets.records import NO_OBJECT, Findings, number_in_name
from hoi_d2.data.vocabulary import (
    Vocabulary,
    hico_det_vocabulary,
    object_of_coco_id,
    vcoco_vocabulary,
)
from hoi_d2.evaluation.results import COLUMNS, HOIResults, ResultFormatError, xyxy_to_xywh

_VOCABULARIES = {"hico_det": hico_det_vocabulary, "vcoco": vcoco_vocabulary}


def read_ppdm(
    items: list, source: str, dataset: str, first_verb: int | None
) -> tuple[str, HOIResults, list[str]]:
    """Returns the dataset, the rows, and notes.

    Args:
        items: the parsed JSON.
        source: the path, for messages.
        dataset: `hico_det` or `vcoco`; "" = by the names of the images.
        first_verb: the number of the first verb; None = by the form of the object numbers.

    Raises:
        ResultFormatError: the dataset or the numbering cannot be told.
        DataFormatError: records are broken; the message names each of them.
    """
    dataset = dataset or dataset_of(_name(r) for r in items[:50] if isinstance(r, dict))
    if dataset not in _VOCABULARIES:
        raise ResultFormatError(
            f"{source}: the names of the images are neither HICO-DET's nor V-COCO's; say which "
            "data set it is by --dataset"
        )
    findings = Findings(source)
    coco_ids = _has_coco_ids(items, source)
    if first_verb is None:
        first_verb = 1 if coco_ids and dataset == "hico_det" else 0
    objects = object_of_coco_id() if coco_ids else {i: i for i in range(80)}
    rows = _Rows(findings, _VOCABULARIES[dataset](), objects, first_verb)
    for index, record in enumerate(findings.list_of(items, dict, "content")):
        rows.add_image(record, index)
    findings.raise_errors()
    ids = "COCO's category ids" if coco_ids else "numbers 0..79"
    notes = [f"objects are {ids}, verbs count from {first_verb} (--first-verb changes that)"]
    if dataset == "vcoco":
        notes.append("verbs are taken in QPIC's order of V-COCO, 0..28")
    return dataset, rows.results(), notes


def _name(record: dict) -> Any:
    return record.get("file_name", record.get("filename"))


def _has_coco_ids(items: list, source: str) -> bool:
    """Returns whether persons, the subjects of all interactions, are 1 and not 0."""
    found = {c for record in items if isinstance(record, dict) for c in _subjects(record)}
    if 0 in found and 1 in found:
        raise ResultFormatError(
            f"{source}: subjects have the category ids {sorted(found)[:6]}; expected all 1 "
            "(COCO's ids, PPDM) or all 0 (QPIC, CDN), which is a person"
        )
    return 0 not in found


def _subjects(record: dict) -> list[int]:
    """Returns the category ids of the subjects; broken parts are reported when they are read."""
    entities, pairs = record.get("predictions"), record.get("hoi_prediction")
    found = []
    if isinstance(entities, list) and isinstance(pairs, list):
        for pair in pairs:
            index = pair.get("subject_id") if isinstance(pair, dict) else None
            if type(index) is int and 0 <= index < len(entities):
                entity = entities[index]
                category = entity.get("category_id") if isinstance(entity, dict) else None
                found += [category] if type(category) is int else []
    return found


class _Rows:
    """Collects rows image by image.

    Args:
        findings: the problems of the file.
        vocabulary: of the dataset.
        objects: category id -> object.
        first_verb: the number of the first verb.
    """

    def __init__(
        self,
        findings: Findings,
        vocabulary: Vocabulary,
        objects: dict[int, int],
        first_verb: int,
    ) -> None:
        self._findings, self._vocabulary = findings, vocabulary
        self._objects, self._first_verb = objects, first_verb
        self._rows: list[tuple] = []

    def add_image(self, record: dict, index: int) -> None:
        """Adds the interactions of an image."""
        findings = self._findings
        findings.record = f"record {index}"
        name = findings.name(_name(record), "file_name")
        if name is None:
            return
        findings.record = f"record {index} ({name})"
        image_id = number_in_name(name)
        if image_id is None:
            findings.add("file_name", name, "a file name that ends in the image id")
            return
        members = findings.list_of(record.get("predictions"), dict, "predictions")
        entities = [self._entity(e, f"predictions[{i}]") for i, e in enumerate(members)]
        pairs = findings.list_of(record.get("hoi_prediction"), dict, "hoi_prediction")
        for i, pair in enumerate(pairs):
            self._add_pair(pair, entities, image_id, f"hoi_prediction[{i}]")

    def _entity(self, raw: dict, at: str) -> tuple[list[float], int] | None:
        """Box and object of a detection; None after a problem."""
        box, category = raw.get("bbox"), raw.get("category_id")
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))):
            self._findings.add(f"{at}.bbox", box, "[x0, y0, x1, y1], finite numbers")
            return None
        if type(category) is not int or category not in self._objects:
            self._findings.add(f"{at}.category_id", category, "the number of an object")
            return None
        return box, self._objects[category]

    def _add_pair(self, raw: dict, entities: list, image_id: int, at: str) -> None:
        findings, first, count = self._findings, self._first_verb, len(entities)
        where, verbs = "an index into predictions", len(self._vocabulary.verbs)
        human = findings.integer(raw.get("subject_id"), 0, count, f"{at}.subject_id", where)
        obj = findings.integer(raw.get("object_id"), NO_OBJECT, count, f"{at}.object_id", where)
        written = raw.get("category_id")
        what = "the number of a verb (--first-verb)"
        verb = findings.integer(written, first, first + verbs, f"{at}.category_id", what)
        score = raw.get("score")
        if not _is_finite(score):
            findings.add(f"{at}.score", score, "a finite number")
            return
        if human is None or obj is None or verb is None:
            return
        subject, target = entities[human], None if obj == NO_OBJECT else entities[obj]
        if subject is None or (target is None and obj != NO_OBJECT):
            return  # the entity was already reported
        if subject[1] != self._vocabulary.person:
            name = self._vocabulary.objects[subject[1]]
            findings.add(f"{at}.subject_id", human, f"the index of a person; this is a {name}")
            return
        box, category = ([math.nan] * 4, -1) if target is None else target
        hoi = -1
        if len(self._vocabulary.hois) and target is not None:
            hoi = int(self._vocabulary.hoi_of[category, verb - first])
        self._rows.append((image_id, subject[0], box, category, verb - first, hoi, score))

    def results(self) -> HOIResults:
        """Returns all rows, in the file's order."""
        if not self._rows:
            return HOIResults.empty()
        columns: dict[str, Any] = dict(zip(COLUMNS, map(list, zip(*self._rows))))
        for name in ("human_box", "object_box"):
            columns[name] = xyxy_to_xywh(np.asarray(columns[name], dtype=np.float64))
        columns["score"] = np.asarray(columns["score"], dtype=np.float64)
        return HOIResults.from_columns(columns, source=self._findings.file)


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and -1e30 < value < 1e30
