"""Converts CVAT's export "CVAT for images 1.1" (`annotations.xml`).

CVAT has no relations, so interactions are written in one of two ways, which may be mixed:

- attribute `interactions` (text) of a person: `ride:7; hold:9; wave`, each a verb and the value of
  the attribute `id` of the object's box; without a colon there is no visible object.
- groups: every person of a group interacts with every other box of it. The verbs are in the
  attribute `verb` (or `action`; several are separated by commas) of the object, who then is acted
  on by every person of the group, or of a person, who then acts on every object of the group; in a
  group of persons only, on each of the others.

Names of attributes may have capital letters, `__undefined__` is CVAT's word for an empty value, and
punctuation may be full-width. Shapes that are not upright boxes become their bounding boxes.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from xml.etree import ElementTree

from hoi_d2.data.converters.cvat_shapes import corners_of, whole, why_left_out
from hoi_d2.data.converters.document import DocumentBuilder
from hoi_d2.data.converters.shapes import add_box
from hoi_d2.data.datasets.records import Findings, file_problem, read_text

_INTERACTIONS = ("interactions", "interaction")
_VERBS = ("verb", "verbs", "action", "actions")
_UNDEFINED = "__undefined__"
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}  # letters, digits, marks
_HALF_WIDTH |= {0x3001: ord(","), 0x060C: ord(","), 0x061B: ord(";"), 0x3000: 32, 0x00A0: 32}


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
    wanted = 'annotations.xml of the export "CVAT for images 1.1"'
    if text.lstrip()[:1] in ("{", "["):
        raise file_problem(path, "content", "JSON", wanted)
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise file_problem(path, "content", str(error), "valid XML") from error
    findings = Findings(path)
    if root.tag != "annotations" or root.find("track") is not None:
        found = "<track>, of the export for videos" if root.tag == "annotations" else root.tag
        raise file_problem(path, "root", found, wanted)
    for image in root.iterfind("image"):
        findings.record = f"image {image.get('id')} ({image.get('name')})"
        _convert_image(image, builder, findings)
    findings.raise_errors()


@dataclass
class _Shape:
    """One shape of an image: its entity, group and attributes (names in lower case)."""

    at: str
    entity: int
    is_person: bool
    group: str
    attributes: dict[str, str]

    def value(self, names: tuple[str, ...]) -> str:
        """Returns the value of the first of these attributes that has one."""
        return next((self.attributes[n] for n in names if self.attributes.get(n)), "")

    def verbs(self) -> list[str]:
        """Returns the verbs of the attribute `verb`."""
        return [v.strip() for v in re.split("[,;]", self.value(_VERBS)) if v.strip()]


def _convert_image(
    image: ElementTree.Element, builder: DocumentBuilder, findings: Findings
) -> None:
    name = findings.name((image.get("name") or "").replace("\\", "/"), "name")
    size = findings.size(whole(image.get("width")), whole(image.get("height")), "width, height")
    if name is None or size is None:
        return
    image_id = builder.add_image(name, *size, findings)
    if image_id is None:
        return
    numbers: Counter[str] = Counter()
    shapes, missing_ids, missing_groups = [], set(), set()
    for element in image:
        at = f"{element.tag}[{numbers[element.tag]}]"
        numbers[element.tag] += 1
        shape = _add_shape(element, at, image_id, builder, findings)
        if shape is not None:
            shapes.append(shape)
        else:
            missing_ids.add(_attributes(element).get("id", ""))
            missing_groups.add(_group(element))
    _add_attributes(image_id, shapes, missing_ids, builder, findings)
    _add_groups(image_id, shapes, missing_groups, builder, findings)


def _add_shape(
    element: ElementTree.Element,
    at: str,
    image_id: int,
    builder: DocumentBuilder,
    findings: Findings,
) -> _Shape | None:
    """Adds the shape as an entity; returns None if it was left out or has a problem."""
    label = (element.get("label") or "").strip()
    why = why_left_out(element)
    if why:
        builder.leave_out(findings, f"{at} ({label})", why)
        return None
    if not label:
        findings.add(f"{at}.label", label, "a label")
        return None
    found = corners_of(element, at, findings)
    if found is None:
        return None
    corners, around = found
    entity = add_box(corners, label, image_id, builder, findings, at, cut=around)
    if entity is None:
        return None
    if around or element.tag == "mask":
        turned = "turned " if element.tag == "box" else ""
        builder.notes[f"shapes ({turned}{element.tag}) that became their bounding box"] += 1
    return _Shape(at, entity, builder.is_person(entity), _group(element), _attributes(element))


def _group(element: ElementTree.Element) -> str:
    group = element.get("group_id") or element.get("group") or ""
    return "" if group == "0" else group


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    """Returns lower-case attribute name -> value; the value `__undefined__` is empty."""
    found = {}
    for attribute in element.iterfind("attribute"):
        value = (attribute.text or "").translate(_HALF_WIDTH).strip()
        name = (attribute.get("name") or "").strip().casefold()
        found[name] = "" if value == _UNDEFINED else value
    return found


def _add_attributes(
    image_id: int,
    shapes: list[_Shape],
    missing: set[str],
    builder: DocumentBuilder,
    findings: Findings,
) -> None:
    """Adds the interactions in the attribute `interactions` of persons.

    `missing` are the ids of shapes that were left out or reported.
    """
    by_id: dict[str, _Shape] = {}
    acting = [(s, p) for s in shapes for p in s.value(_INTERACTIONS).split(";") if p.strip()]
    for shape in shapes if any(":" in part for _, part in acting) else ():
        ident = shape.attributes.get("id", "")
        if ident and by_id.setdefault(ident, shape) is not shape:
            what = f"a number of its own; {by_id[ident].at} has the same"
            findings.add(f"{shape.at}: attribute id", ident, what)
    for shape, part in acting:
        at = f"{shape.at}: attribute interactions"
        verb, colon, target = (text.strip() for text in part.partition(":"))
        if not shape.is_person:
            findings.add(at, part, "this attribute on persons only (--person names their labels)")
        elif not verb or verb == _UNDEFINED:
            findings.add(at, part, "verb:id, or a verb alone where no object is visible")
        elif not colon:
            builder.add_interaction(image_id, shape.entity, None, verb)
        elif target in by_id:
            builder.add_interaction(image_id, shape.entity, by_id[target].entity, verb)
        elif target and target in missing:
            builder.leave_out(findings, f"{at} ({part.strip()})", "its object was left out")
        else:
            what = "verb:id, with the attribute `id` of another shape of the image"
            findings.add(at, part.strip(), what)


def _add_groups(
    image_id: int,
    shapes: list[_Shape],
    missing: set[str],
    builder: DocumentBuilder,
    findings: Findings,
) -> None:
    """Adds the interactions of each group; `missing` are those with a shape that was left out."""
    for group in dict.fromkeys(s.group for s in shapes if s.group):
        members = [s for s in shapes if s.group == group]
        persons = [s for s in members if s.is_person]
        things = [s for s in members if not s.is_person]
        if group in missing and not (persons and things):
            builder.leave_out(findings, f"group {group}", "one of its shapes was left out")
        elif not persons:
            what = "a person in it (--person names the labels of persons)"
            findings.add(f"group {group}", ", ".join(s.at for s in members), what)
        else:
            _add_group(image_id, group, persons, things, builder, findings)


def _add_group(
    image_id: int,
    group: str,
    persons: list[_Shape],
    things: list[_Shape],
    builder: DocumentBuilder,
    findings: Findings,
) -> None:
    """Adds the interactions of a group with persons; every other member needs a verb."""
    acting = any(p.verbs() for p in persons)
    silent = [t for t in things or persons[:1] if not acting and not t.verbs()]
    for member in silent:
        what = "the attribute `verb` on it, or on the person who acts"
        findings.add(f"group {group}", member.at, what)
    for person in persons:
        others = things or [p for p in persons if p is not person]
        targets: list[int | None] = [other.entity for other in others]
        for verb in person.verbs():
            for target in targets or [None]:
                builder.add_interaction(image_id, person.entity, target, verb)
        for thing in things:
            for verb in thing.verbs():
                builder.add_interaction(image_id, person.entity, thing.entity, verb)
