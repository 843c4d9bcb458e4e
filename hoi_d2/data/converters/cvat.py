"""Converts CVAT's export "CVAT for images 1.1" (`annotations.xml`).

CVAT has no relations, so interactions are written in one of two ways, which may be mixed:

- attribute `interactions` (text) of a person: `ride:7; hold:9; wave`, each a verb and the value of
  the attribute `id` of the object's box; without a number there is no visible object.
- groups: every person of a group interacts with every other box of it; the verbs are in the
  attribute `verb` of the object's box (several are separated by commas), or of the person's if
  the group has persons only.
"""

from __future__ import annotations

import os
from typing import Any
from xml.etree import ElementTree

from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.datasets.records import Findings, file_problem, read_text


def convert_cvat(path: str | os.PathLike, builder: DocumentBuilder) -> None:
    """Adds every image of an export to `builder`.

    Args:
        path: `annotations.xml`.
        builder: the document that gets the images.

    Raises:
        FileNotFoundError: no such file.
        DataFormatError: names each image that cannot be converted.
    """
    text = read_text(path)
    # Exports have neither; nested entities can expand to gigabytes.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise file_problem(path, "content", "<!DOCTYPE>", "XML without a document type")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise file_problem(path, "content", str(error), "valid XML") from error
    findings = Findings(path)
    if root.tag != "annotations" or root.find("track") is not None:
        raise file_problem(path, "root", root.tag, 'an export "CVAT for images 1.1"')
    for image in root.iterfind("image"):
        findings.record = f"image {image.get('id')} ({image.get('name')})"
        _convert_image(image, builder, findings)
    findings.raise_errors()


class _Box:
    """One `<box>`: its entity, group and attributes."""

    def __init__(self, element: ElementTree.Element, entity: int, is_person: bool) -> None:
        self.entity, self.is_person = entity, is_person
        self.group = element.get("group_id") or element.get("group") or ""
        self.attributes = {
            a.get("name") or "": (a.text or "").strip() for a in element.iterfind("attribute")
        }

    def verbs(self) -> list[str]:
        """The verbs of the attribute `verb`."""
        return [v.strip() for v in self.attributes.get("verb", "").split(",") if v.strip()]


def _convert_image(
    image: ElementTree.Element, builder: DocumentBuilder, findings: Findings
) -> None:
    name = findings.name(image.get("name"), "name")
    size = findings.size(_whole(image.get("width")), _whole(image.get("height")), "width, height")
    if name is None or size is None:
        return
    image_id = builder.add_image(name, *size)
    boxes = []
    for i, element in enumerate(image.iterfind("box")):
        corners = [_number(element.get(k)) for k in ("xtl", "ytl", "xbr", "ybr")]
        label = element.get("label")
        box = findings.box(corners, f"box[{i}]")
        if not label:
            findings.add(f"box[{i}].label", label, "a label")
        elif box is not None:
            x0, y0, x1, y1 = box
            if _number(element.get("rotation") or 0) != 0:
                findings.add(f"box[{i}].rotation", element.get("rotation"), "an upright box")
            entity = builder.add_entity(image_id, label, [x0, y0, x1 - x0, y1 - y0])
            boxes.append(_Box(element, entity, builder.is_person(entity)))
    _add_attributes(image_id, boxes, builder, findings)
    _add_groups(image_id, boxes, builder, findings)


def _whole(value: str | None) -> Any:
    return int(value) if value and value.isascii() and value.isdigit() else value


def _number(value: str | int | None) -> Any:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return value


def _add_attributes(
    image_id: int, boxes: list[_Box], builder: DocumentBuilder, findings: Findings
) -> None:
    """Adds the interactions in the attribute `interactions` of persons."""
    by_id = {b.attributes["id"]: b for b in boxes if b.attributes.get("id")}
    for box in boxes:
        for part in box.attributes.get("interactions", "").split(";"):
            verb, _, target = (text.strip() for text in part.partition(":"))
            if not verb and not target:
                continue
            if not box.is_person:
                findings.add("interactions", part, "this attribute on persons only (--person)")
            elif not verb or (target and target not in by_id):
                findings.add("interactions", part, "verb:id, with the `id` of a box of the image")
            else:
                entity = by_id[target].entity if target else None
                builder.add_interaction(image_id, box.entity, entity, verb)


def _add_groups(
    image_id: int, boxes: list[_Box], builder: DocumentBuilder, findings: Findings
) -> None:
    """Adds the interactions of each group."""
    for group in dict.fromkeys(b.group for b in boxes if b.group not in ("", "0")):
        members = [b for b in boxes if b.group == group]
        persons = [b for b in members if b.is_person]
        things = [b for b in members if not b.is_person]
        if not persons:
            findings.add(f"group {group}", len(members), "a person in it (--person names labels)")
        for thing in things:
            if not thing.verbs():
                findings.add(f"group {group}", "", "the attribute `verb` on each object")
            for person in persons:
                for verb in thing.verbs():
                    builder.add_interaction(image_id, person.entity, thing.entity, verb)
        if not things:
            _add_persons(image_id, group, persons, builder, findings)


def _add_persons(
    image_id: int, group: str, persons: list[_Box], builder: DocumentBuilder, findings: Findings
) -> None:
    """Adds a group of persons: one with a verb does it to each of the others, or alone."""
    if persons and not any(p.verbs() for p in persons):
        findings.add(f"group {group}", "", "the attribute `verb` on a person who acts")
    for person in persons:
        others: list[int | None] = [p.entity for p in persons if p is not person]
        for verb in person.verbs():
            for other in others or [None]:
                builder.add_interaction(image_id, person.entity, other, verb)
