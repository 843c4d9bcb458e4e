"""Builds a file of own data (hoi_d2/data/datasets/hoi_json.py) from names instead of ids."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hoi_d2.data.datasets.hoi_json_classes import PERSON


class DocumentBuilder:
    """Collects images, boxes and interactions by name, and numbers them.

    Args:
        persons: the labels that mean a person; they become the category `person`.
        classes_from: an earlier document. Its categories and verbs come first, in its order, so
            that a training and a validation file have the same ids.
    """

    def __init__(
        self, *, persons: Collection[str] = (PERSON,), classes_from: dict | None = None
    ) -> None:
        self.persons = frozenset(persons)
        earlier = classes_from or {}
        self.objects = [c["name"] for c in earlier.get("categories", [])]
        self.verbs = [v["name"] for v in earlier.get("verb_categories", [])]
        self.images: list[dict[str, Any]] = []
        self.entities: list[dict[str, Any]] = []
        self.interactions: list[dict[str, Any]] = []

    def add_image(self, file_name: str, width: int | None, height: int | None) -> int:
        """Adds an image and returns its id."""
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
        """The category name of a label."""
        return PERSON if label in self.persons else label

    def is_person(self, entity_id: int) -> bool:
        """Whether an entity is a person."""
        return self.entities[entity_id - 1]["category_id"] == PERSON

    def add_interaction(self, image_id: int, human: int, target: int | None, verb: str) -> None:
        """Adds an interaction of entities; `target` None = no visible object."""
        self.interactions.append(
            {
                "id": len(self.interactions) + 1,
                "image_id": image_id,
                "human_annotation_id": human,
                "object_annotation_id": target,
                "verb_id": verb,
            }
        )

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


def _numbered(earlier: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    new = sorted(set(names) - set(earlier), key=lambda n: (n != PERSON, n))
    return {name: number for number, name in enumerate([*earlier, *new], start=1)}
