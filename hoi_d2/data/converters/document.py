"""Builds a file of own data (hoi_d2/data/datasets/hoi_json.py) from names instead of ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from hoi_d2.data.datasets.hoi_json_classes import PERSON, same_name
from hoi_d2.data.datasets.records import Findings


class DocumentBuilder:
    """Collects images, boxes and interactions by name, and numbers them.

    Names that differ only by case, spaces and underscores are one class; the first spelling counts.

    Args:
        persons: the labels that mean a person; they become the category `person`.
        classes_from: an earlier document. Its categories and verbs come first, in its order, so
            that a training and a validation file have the same ids.

    Attributes:
        left_out: annotations that the document cannot represent, one line each.
        notes: what was changed or not used -> how often.
    """

    def __init__(
        self, *, persons: Collection[str] = (PERSON,), classes_from: dict | None = None
    ) -> None:
        self.persons = frozenset(map(same_name, persons))
        earlier = classes_from or {}
        objects, verbs = (_names(earlier, key) for key in ("categories", "verb_categories"))
        self.objects = [PERSON if same_name(n) == PERSON else n for n in objects]
        self.verbs = verbs
        self.images: list[dict[str, Any]] = []
        self.entities: list[dict[str, Any]] = []
        self.interactions: list[dict[str, Any]] = []
        self.left_out: list[str] = []
        self.notes: Counter[str] = Counter()
        self._spelling = {("label", same_name(n)): n for n in self.objects}
        self._spelling |= {("verb", same_name(n)): n for n in self.verbs}
        self._places: dict[str, str] = {}
        self._known: set[tuple[int, int | None, str]] = set()

    def add_image(
        self, file_name: str, width: int | None, height: int | None, findings: Findings
    ) -> int | None:
        """Adds an image and returns its id; None, and a problem, if there is one of this name."""
        place = f"{findings.file}: {findings.record}"
        if file_name in self._places:
            what = f"a name that no other image has; it is that of {self._places[file_name]}"
            findings.add("image", file_name, what)
            return None
        self._places[file_name] = place
        image: dict[str, Any] = {"id": len(self.images) + 1, "file_name": file_name}
        if width is not None and height is not None:
            image |= {"width": width, "height": height}
        self.images.append(image)
        return image["id"]

    def add_entity(self, image_id: int, label: str, box: Sequence[float]) -> int:
        """Adds a box [x, y, w, h] and returns its id."""
        name = self.category(label)
        ident = len(self.entities) + 1
        rounded = [round(float(v), 3) for v in box]
        entity = {"id": ident, "image_id": image_id, "category_id": name, "bbox": rounded}
        self.entities.append(entity)
        return ident

    def category(self, label: str) -> str:
        """Returns the category name of a label."""
        return PERSON if same_name(label) in self.persons else self._spelled("label", label)

    def is_person(self, entity_id: int) -> bool:
        """Returns whether an entity is a person."""
        return self.entities[entity_id - 1]["category_id"] == PERSON

    def add_interaction(self, image_id: int, human: int, target: int | None, verb: str) -> None:
        """Adds an interaction of entities once; `target` None = no visible object."""
        verb = self._spelled("verb", verb)
        if (human, target, verb) in self._known:
            self.notes["interactions that are written twice, kept once"] += 1
            return
        self._known.add((human, target, verb))
        self.interactions.append(
            {
                "id": len(self.interactions) + 1,
                "image_id": image_id,
                "human_annotation_id": human,
                "object_annotation_id": target,
                "verb_id": verb,
            }
        )

    def leave_out(self, findings: Findings, at: str, why: str) -> None:
        """Records an annotation that the document cannot represent."""
        self.left_out.append(f"{findings.file}: {findings.record}: {at}: {why}")

    def _spelled(self, kind: str, name: str) -> str:
        """Returns the first spelling of a name."""
        name = name.strip()
        first = self._spelling.setdefault((kind, same_name(name)), name)
        if first != name:
            self.notes[f"times the {kind} {name!r}, taken for {first!r}"] += 1
        return first

    def document(self) -> dict[str, list[dict]]:
        """The complete document: names become ids 1, 2, ..., new names in alphabetical order."""
        objects = _numbered(self.objects, [PERSON, *(e["category_id"] for e in self.entities)])
        verbs = _numbered(self.verbs, [i["verb_id"] for i in self.interactions])
        return {
            "images": self.images,
            "categories": [{"id": i, "name": n} for n, i in objects.items()],
            "verb_categories": [{"id": i, "name": n} for n, i in verbs.items()],
            "annotations": [{**e, "category_id": objects[e["category_id"]]} for e in self.entities],
            "hoi_annotations": [{**i, "verb_id": verbs[i["verb_id"]]} for i in self.interactions],
        }


def _names(document: dict, key: str) -> list[str]:
    """The names in a list of classes, by ascending id, as they are numbered when it is loaded."""
    return [c["name"] for c in sorted(document.get(key, []), key=lambda c: c["id"])]


def _numbered(earlier: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    new = sorted(set(names) - set(earlier), key=lambda n: (n != PERSON, n))
    return {name: number for number, name in enumerate([*earlier, *new], start=1)}
