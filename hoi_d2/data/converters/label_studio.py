"""Converts Label Studio's JSON export: labelled shapes, and relations whose labels are the verbs.

A relation goes from the person to the object (its direction arrow may point either way) and its
labels are the verbs; a relation of a person with itself is a verb without a visible object.
Between two persons the arrow says who acts; an arrow in both directions is two interactions. Shapes
are in percent of the image; those that are not upright rectangles become their bounding boxes.
"""

from __future__ import annotations

import os
from typing import Any

from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.converters.label_studio_names import image_name
from hoi_d2.data.converters.label_studio_regions import (
    Region,
    box_of_region,
    read_regions,
    why_left_out,
)
from hoi_d2.data.converters.shapes import add_box
from hoi_d2.data.datasets.records import Findings, file_problem, read_json

_LEFT_OUT = -1
_BROKEN = -2


def convert_label_studio(
    path: str | os.PathLike, builder: DocumentBuilder, *, image_field: str = ""
) -> None:
    """Adds every task of an export to `builder`.

    Args:
        path: the export ("JSON", not "JSON-MIN").
        builder: the document that gets the images.
        image_field: the key of a task's data that holds the image; "" = by its content.

    Raises:
        FileNotFoundError: no such file.
        DataFormatError: names each task that cannot be converted.
    """
    findings = Findings(path)
    data = read_json(path)
    _check_export(data, path)
    for index, task in enumerate(findings.list_of(data, dict, "content")):
        findings.record = f"task {task.get('id', index)}"
        annotation = _annotation(task, builder, findings)
        if annotation is None:
            continue
        results = findings.list_of(annotation.get("result"), dict, "result")
        tags = {r["to_name"]: None for r in results if isinstance(r.get("to_name"), str)}
        name = image_name(task.get("data"), tags, findings, field=image_field)
        if name is not None:
            _convert_task(name, results, builder, findings)
    findings.raise_errors()


def _check_export(data: Any, path: str | os.PathLike) -> None:
    """Names the exports that lack the relations."""
    if isinstance(data, dict) and {"images", "annotations"} <= data.keys():
        what = 'the export "JSON": this is a COCO file, which holds no relations'
        raise file_problem(path, "content", sorted(data), what)
    tasks = [t for t in data if isinstance(t, dict)] if isinstance(data, list) else []
    if tasks and not any({"data", "annotations", "completions"} & t.keys() for t in tasks):
        what = 'the export "JSON": this looks like JSON-MIN, which holds no relations'
        raise file_problem(path, "content", sorted(tasks[0]), what)


def _annotation(task: dict, builder: DocumentBuilder, findings: Findings) -> dict | None:
    """Returns the only annotation of a task that is not cancelled; None if the task is left out."""
    key = "annotations" if "annotations" in task else "completions"  # the name before 1.0
    annotations = findings.list_of(task.get(key, []), dict, key)
    done = [a for a in annotations if not a.get("was_cancelled")]
    if len(done) > 1:
        findings.add(key, len(done), "one annotation that is not cancelled; keep one of them")
    if done:
        return done[0]
    if annotations:
        builder.notes["tasks that their annotator skipped, without their images"] += 1
        return None
    if task.get("predictions"):
        why = "predictions only; accept them in Label Studio to make annotations of them"
        builder.leave_out(findings, "predictions", why)
        return None
    builder.notes["tasks without an annotation, as images without boxes"] += 1
    return {"result": []}


def _convert_task(
    name: str, results: list[dict], builder: DocumentBuilder, findings: Findings
) -> None:
    regions = read_regions(results, builder, findings)
    size = _image_size(regions, findings)
    width, height = size or (None, None)
    image_id = builder.add_image(name, width, height, findings)
    if image_id is None:
        return
    entities = {
        ident: _add_region(region, image_id, size, builder, findings)
        for ident, region in regions.items()
    }
    for i, relation in enumerate(results):
        if relation.get("type") == "relation":
            _add_relation(relation, image_id, entities, builder, findings, f"result[{i}]")


def _image_size(regions: dict[str, Region], findings: Findings) -> tuple[int, int] | None:
    """Returns the size that the shapes agree on; None if there are none, or a problem was noted."""
    sizes: dict[tuple[int, int], str] = {}
    for region in regions.values():
        if not region.shape:
            continue
        at = f"{region.at}.original_width, original_height"
        size = findings.size(*region.size, at)
        if size is None:
            return None
        if sizes and size not in sizes:
            (other, place) = next(iter(sizes.items()))
            findings.add(at, list(size), f"the size {list(other)} of {place}")
            return None
        sizes.setdefault(size, region.at)
    return next(iter(sizes), None)


def _add_region(
    region: Region,
    image_id: int,
    size: tuple[int, int] | None,
    builder: DocumentBuilder,
    findings: Findings,
) -> int:
    """Returns the id of the new entity, `_LEFT_OUT` or `_BROKEN`."""
    why = why_left_out(region)
    if why:
        shown = f"{region.at} ({', '.join(map(str, region.labels))})"
        builder.leave_out(findings, shown if region.labels else region.at, why)
        return _LEFT_OUT
    labels = list(dict.fromkeys(map(str, region.labels)))
    if len(labels) != 1 or not isinstance(region.labels[0], str) or not labels[0].strip():
        findings.add(f"{region.at}.value: labels", region.labels, "one label")
        return _BROKEN
    found = None if size is None else box_of_region(region, size, findings)
    if found is None:
        return _BROKEN
    corners, around = found
    entity = add_box(corners, labels[0], image_id, builder, findings, region.at, cut=around)
    if entity is None:
        return _BROKEN
    if around:
        turned = "turned " if region.shape == "rectangle" else ""
        builder.notes[f"shapes ({turned}{region.shape}) that became their bounding box"] += 1
    return entity


def _add_relation(
    relation: dict,
    image_id: int,
    entities: dict[str, int],
    builder: DocumentBuilder,
    findings: Findings,
    at: str,
) -> None:
    ends = [relation.get("from_id"), relation.get("to_id")]
    start, end = (entities.get(str(e)) for e in ends)
    if start is None or end is None:
        findings.add(f"{at}.from_id, to_id", ends, "ids of regions of this task")
        return
    if _BROKEN in (start, end):
        return  # the region was already reported
    if _LEFT_OUT in (start, end):
        builder.leave_out(findings, f"{at} (relation)", "one of its regions was left out")
        return
    verbs = relation.get("labels")
    if not isinstance(verbs, list) or not verbs or not all(map(_is_verb, verbs)):
        findings.add(f"{at}.labels", verbs, "the verbs of the relation, at least one")
        return
    for human, target in _directions(start, end, relation, builder, findings, at):
        for verb in verbs:
            builder.add_interaction(image_id, human, None if target == human else target, verb)


def _is_verb(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _directions(
    start: int, end: int, relation: dict, builder: DocumentBuilder, findings: Findings, at: str
) -> list[tuple[int, int]]:
    """Returns who acts on whom: the person; between two persons the direction of the arrow."""
    persons = builder.is_person(start), builder.is_person(end)
    if not any(persons):
        names = [builder.entities[e - 1]["category_id"] for e in (start, end)]
        findings.add(at, names, "a relation of a person (--person names the labels of persons)")
        return []
    if not all(persons):
        return [(start, end) if persons[0] else (end, start)]
    arrow = relation.get("direction")
    known = {"right": [(start, end)], None: [(start, end)], "left": [(end, start)]}
    both = list(dict.fromkeys([(start, end), (end, start)]))
    found = (known | {"bi": both}).get(arrow) if isinstance(arrow, str | None) else None
    if found is None:
        findings.add(f"{at}.direction", arrow, "right, left or bi: an arrow that says who acts")
    return found or []
