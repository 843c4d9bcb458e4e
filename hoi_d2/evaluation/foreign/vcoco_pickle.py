"""Reads the pickle that V-COCO's tool scores: a list of persons with a score for every action.

    [{"image_id", "person_box": [x0, y0, x1, y1], "stand_agent": score, "hold_agent": score,
      "hold_obj": [x0, y0, x1, y1, score], ...}]

A role without a visible object has a box of zeros or NaN.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hoi_d2.data.datasets.records import Findings
from hoi_d2.data.vocabulary import vcoco_vocabulary
from hoi_d2.evaluation.results import HOIResults, ResultFormatError
from hoi_d2.utils.plain_pickle import numbers, read_plain_pickle

_HEAD = ("image_id", "person_box")


def read_vcoco_pickle(path: str | Path) -> tuple[HOIResults, list[str]]:
    """Returns the rows, one for each action-role of a person that has a score, and notes.

    Raises:
        ResultFormatError: the file is damaged, or asks for more than plain values.
        DataFormatError: records are broken; the message names each of them.
    """
    findings, rows, differ, unknown = Findings(path), [], 0, set()
    content = read_plain_pickle(path, error_type=ResultFormatError)
    for index, raw in enumerate(findings.list_of(content, dict, "content")):
        findings.record = f"record {index}"
        image = _numbers(raw.get("image_id"), (), findings, "image_id")
        person = _numbers(raw.get("person_box"), (4,), findings, "person_box")
        if image is None or person is None:
            continue
        if not image == np.floor(image) or abs(image) >= 1 << 53:
            findings.add("image_id", float(image), "a whole number")
            continue
        found = _roles(raw, findings)
        rows += [(int(image), person, box, verb, score) for verb, box, score in found]
        differ += _agents_differ(raw, found)
        unknown |= {str(k) for k in raw} - _KEYS
    findings.raise_errors()
    notes = ["object classes are not in the file, and V-COCO's metric does not look at them"]
    if differ:
        notes.append(
            f"{differ} agent scores differ from the scores of their roles and were not kept: "
            "AP_agent will differ from that of V-COCO's tool"
        )
    if unknown:
        notes.append(
            f"keys that are no action-role were not used: {', '.join(sorted(unknown)[:8])}"
        )
    return _results(rows), notes


_VERBS = vcoco_vocabulary().verbs
_ROLES = tuple(v for v in _VERBS if v.endswith(("_obj", "_instr")))
_KEYS = {
    *_HEAD,
    *_ROLES,
    *(f"{v.removesuffix('_obj').removesuffix('_instr')}_agent" for v in _VERBS),
}


def _roles(raw: dict, findings: Findings) -> list[tuple[int, np.ndarray, float]]:
    """Verb, object box (NaN = none) and score of each action-role of a person."""
    found = []
    for verb, name in enumerate(_VERBS):
        is_role = name in _ROLES
        key = name if is_role else f"{name}_agent"
        if key not in raw:
            continue
        values = _numbers(raw[key], (5,) if is_role else (), findings, key)
        if values is None:
            continue
        box, score = (values[:4], values[4]) if is_role else (np.full(4, np.nan), values)
        if np.isnan(score):
            continue  # V-COCO's tool skips these
        empty = np.isnan(box).any() or not box.any()
        found.append((verb, np.full(4, np.nan) if empty else box, float(score)))
    return found


def _agents_differ(raw: dict, found: list[tuple[int, np.ndarray, float]]) -> int:
    """Returns how many actions of a person have an agent score that no role has."""
    best: dict[str, float] = {}
    for verb, _, score in found:
        action = _VERBS[verb].removesuffix("_obj").removesuffix("_instr")
        best[action] = max(score, best.get(action, score))
    differ = 0
    for key, value in raw.items():
        if isinstance(key, str) and key.endswith("_agent") and key in _KEYS:
            try:
                agent = float(numbers(value))
            except (ValueError, TypeError):
                continue  # reported for actions without a role
            role = best.get(key.removesuffix("_agent"), np.nan)
            differ += not (np.isnan(agent) or abs(agent - role) <= 1e-6 * max(1.0, abs(agent)))
    return differ


def _numbers(value: Any, shape: tuple, findings: Findings, field: str) -> np.ndarray | None:
    try:
        found = numbers(value)
        found = found.reshape(shape) if found.size == np.prod(shape, dtype=int) else found
    except ValueError as error:
        findings.add(field, str(error), f"{int(np.prod(shape))} numbers")
        return None
    if found.shape == shape and not np.isinf(found).any():
        return found
    findings.add(field, found.tolist(), f"{int(np.prod(shape))} finite numbers")
    return None


def _results(rows: list[tuple]) -> HOIResults:
    if not rows:
        return HOIResults.empty()
    images, persons, boxes, verbs, scores = zip(*rows)
    none = np.full(len(rows), -1, dtype=np.int32)
    return HOIResults(
        image_ids=np.asarray(images, dtype=np.int64),
        human_boxes=np.stack(persons),
        object_boxes=np.stack(boxes),
        object_classes=none,
        verb_classes=np.asarray(verbs, dtype=np.int32),
        hoi_classes=none,
        scores=np.asarray(scores),
    )
