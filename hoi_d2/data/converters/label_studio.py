"""Converts Label Studio's JSON export with `RectangleLabels` and labelled `Relations`.

A relation goes from the person to the object (its direction arrow may point either way) and its
labels are the verbs; a relation of a person with itself is a verb without a visible object.
Boxes are percentages of the image.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.datasets.records import Findings, read_json

_UPLOAD_PREFIX_LENGTH = len("1a2b3c4d-")


def convert_label_studio(path: str | os.PathLike, builder: DocumentBuilder) -> None:
    """Adds every task of an export to `builder`.

    Args:
        path: the export ("JSON", not "JSON-MIN").
        builder: the document that gets the images.

    Raises:
        FileNotFoundError: no such file.
        DataFormatError: names each task that cannot be converted.
    """
    findings = Findings(path)
    for index, task in enumerate(findings.list_of(read_json(path), dict, "")):
        findings.record = f"task {task.get('id', index)}"
        name = _image_name(task.get("data"), findings)
        results = _results(task, findings)
        if name is not None:
            _convert_task(name, results, builder, findings)
    findings.raise_errors()


def _image_name(data: Any, findings: Findings) -> str | None:
    """The file name in a task's address, without the prefix that an upload gets."""
    values = [v for v in data.values() if isinstance(v, str)] if isinstance(data, dict) else []
    named = [v for v in values if os.path.splitext(_path_of(v))[1]]
    if not named:
        findings.add("data", data, "an object with the address of an image")
        return None
    path = _path_of(named[0])
    name = os.path.basename(path)
    prefix = name[:_UPLOAD_PREFIX_LENGTH]
    if "/upload/" in path and prefix.endswith("-") and _is_hexadecimal(prefix[:-1]):
        name = name[_UPLOAD_PREFIX_LENGTH:]
    return name


def _path_of(address: str) -> str:
    """The path in an address; that of a local file is in `?d=`."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    inner = parse_qs(parts.query).get("d")
    return inner[0] if inner else unquote(parts.path)


def _is_hexadecimal(text: str) -> bool:
    return all(c in "0123456789abcdef" for c in text)


def _results(task: dict, findings: Findings) -> list[dict]:
    """The regions and relations of a task, from its only annotation that is not cancelled."""
    key = "annotations" if "annotations" in task else "completions"  # the name before 1.0
    annotations = findings.list_of(task.get(key, []), dict, key)
    done = [a for a in annotations if not a.get("was_cancelled")]
    if len(done) > 1:
        findings.add(key, len(done), "one annotation that is not cancelled; keep one of them")
    return findings.list_of(done[0].get("result"), dict, f"{key}[0].result") if done else []


def _convert_task(
    name: str, results: list[dict], builder: DocumentBuilder, findings: Findings
) -> None:
    regions = [(i, r) for i, r in enumerate(results) if r.get("type") == "rectanglelabels"]
    sizes = {(r.get("original_width"), r.get("original_height")) for _, r in regions}
    width, height = sizes.pop() if len(sizes) == 1 else (None, None)
    size = findings.size(width, height, "original_width, original_height") if regions else (0, 0)
    if size is None:
        return
    image_id = builder.add_image(name, width, height)
    entities: dict[str, int] = {}
    for i, region in regions:
        box = _box(region, size, findings, f"result[{i}]")
        labels = (region.get("value") or {}).get("rectanglelabels")
        if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
            findings.add(f"result[{i}].value.rectanglelabels", labels, "one label")
        elif box is not None:
            entities[str(region.get("id"))] = builder.add_entity(image_id, labels[0], box)
    for i, relation in enumerate(results):
        if relation.get("type") == "relation":
            _add_relation(relation, image_id, entities, builder, findings, f"result[{i}]")


def _box(region: dict, size: tuple[int, int], findings: Findings, at: str) -> list[float] | None:
    """Converts a rectangle in per cent to [x, y, w, h] in pixels."""
    value: Any = region.get("value")
    value = value if isinstance(value, dict) else {}
    numbers: list[Any] = [value.get(k) for k in ("x", "y", "width", "height")]
    if not all(type(n) in (int, float) and -1e4 < n < 1e4 for n in numbers):
        findings.add(f"{at}.value", value, "x, y, width, height in per cent")
        return None
    if value.get("rotation") not in (None, 0) or region.get("image_rotation") not in (None, 0):
        findings.add(f"{at}.value.rotation", value.get("rotation"), "an upright box: rotation 0")
        return None
    width, height = size
    x, y, w, h = (n / 100 for n in numbers)
    return [x * width, y * height, w * width, h * height]


def _add_relation(
    relation: dict,
    image_id: int,
    entities: dict[str, int],
    builder: DocumentBuilder,
    findings: Findings,
    at: str,
) -> None:
    human, target = (entities.get(str(relation.get(k))) for k in ("from_id", "to_id"))
    labels = relation.get("labels")
    if human is None or target is None:
        shown = [relation.get("from_id"), relation.get("to_id")]
        findings.add(f"{at}.from_id, to_id", shown, "ids of boxes of this task")
        return
    if not isinstance(labels, list) or not labels or not all(isinstance(v, str) for v in labels):
        findings.add(f"{at}.labels", labels, "the verbs of the relation, at least one")
        return
    if not builder.is_person(human) or relation.get("direction") == "left":
        human, target = target, human
    if not builder.is_person(human):
        findings.add(at, relation.get("from_id"), "a relation of a person (--person names labels)")
        return
    for verb in labels:
        builder.add_interaction(image_id, human, None if target == human else target, verb)
