"""Reads the classes of a file of own data: objects, verbs and HOI classes, by ascending id."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from hoi_d2.data.datasets.records import ID_LIMIT, Findings
from hoi_d2.data.vocabulary import Vocabulary, coco_objects

PERSON = "person"


def same_name(name: str) -> str:
    """Normalises a name: lower case, single blanks for `_`."""
    return " ".join(name.replace("_", " ").split()).casefold()


class HOIClasses:
    """The classes that the ids of a file stand for.

    If every category has the name of a COCO object, the objects are COCO's 80 in COCO's order, so
    that detectors trained on COCO can be used. Else they are the file's own, by ascending id.

    Attributes:
        object_of: category id -> object id.
        verb_of: verb category id -> verb id.
        vocabulary: the objects, verbs and HOI classes.
    """

    def __init__(self, data: dict, findings: Findings) -> None:
        categories = _named(data, "categories", findings)
        verbs = _named(data, "verb_categories", findings)
        if findings.strict and not verbs:
            findings.add("verb_categories", [], "at least one verb", level="flaw")
        written = [c["name"] for c in categories]
        names = [PERSON if same_name(n) == PERSON else n for n in written]
        if PERSON not in names:
            findings.add("categories", names, f"one category with the name {PERSON!r}")
        objects = object_list(names)
        if findings.strict and objects is names:
            _suggest_classes(names, findings)
        self.object_of = {c["id"]: i for c, i in zip(categories, _positions(names, objects))}
        self.verb_of = {v["id"]: i for i, v in enumerate(verbs)}
        self.vocabulary = Vocabulary.from_hois(
            os.path.basename(findings.file),
            objects,
            [v["name"] for v in verbs],
            self._hois(data, findings),
            verbs_ing=[_ing_form(v, findings) for v in verbs],
            person=objects.index(PERSON) if PERSON in objects else 0,
        )

    def _hois(self, data: dict, findings: Findings) -> np.ndarray:
        """Returns object and verb (C, 2) of each class."""
        if data.get("hoi_categories") is None:
            objects, verbs = sorted(self.object_of.values()), range(len(self.verb_of))
            every = [(o, v) for o in objects for v in verbs]
            return np.asarray(every, dtype=np.int64).reshape(-1, 2)
        members = findings.list_of(data["hoi_categories"], dict, "hoi_categories")
        rows: dict[tuple[int, int], int] = {}
        seen: set[int] = set()
        for i in sorted(range(len(members)), key=lambda i: _sort_key(members[i].get("id"))):
            raw = members[i]
            findings.record = f"hoi_categories[{i}]"
            new_id(raw, seen, findings) if "id" in raw else None
            obj = lookup(raw, "category_id", self.object_of, findings, "the id of a category")
            verb = lookup(raw, "verb_id", self.verb_of, findings, "the id of a verb category")
            if obj is not None and verb is not None:
                if (obj, verb) in rows:
                    findings.add(
                        "category_id, verb_id", raw, "a combination that does not occur twice"
                    )
                rows.setdefault((obj, verb), len(rows))
        findings.record = ""
        return np.asarray(list(rows), dtype=np.int64).reshape(-1, 2)


def object_list(names: list[str]) -> list[str]:
    """COCO's 80 objects if these are all COCO's, else the names themselves."""
    plain = {same_name(n) for n in names}
    are_coco = plain <= set(coco_objects()) and len(plain) == len(names)
    return list(coco_objects()) if are_coco else names


def _positions(names: list[str], objects: list[str]) -> list[int]:
    """The object id of each category; only case, `_` and blanks may differ from COCO's names."""
    if objects is names:
        return list(range(len(names)))
    return [objects.index(same_name(n)) for n in names]


def _suggest_classes(names: list[str], findings: Findings) -> None:
    """Warns of names that are no COCO class although they seem to be meant as one."""
    classes = coco_objects()
    others = [n for n in names if same_name(n) not in classes]
    for name in others:
        near = similar_class(name, classes)
        if near or len(names) - len(others) > 1:
            hint = f". Did you mean {near!r}?" if near else ""
            what = f"a COCO class, if a detector trained on COCO is to find it{hint}"
            findings.add("categories: name", name, what, level="warning")


def similar_class(name: str, classes: Sequence[str]) -> str:
    """The class that a name probably means, `cake` for `birthday cake`; "" if none is near."""
    plain = same_name(name)
    words = plain.split()
    inside = [c for c in classes if set(c.split()) < set(words)]
    joined = [c for c in classes if c.replace(" ", "") == plain.replace(" ", "")]
    near = difflib.get_close_matches(plain, classes, n=1, cutoff=0.75)
    return next(iter([*joined, *sorted(inside, key=len, reverse=True), *near]), "")


def _sort_key(value: Any) -> int:
    return value if type(value) is int else 0


def _named(data: dict, key: str, findings: Findings) -> list[dict]:
    """Returns the members of a list with a unique id and a unique name, by ascending id."""
    sound: list[dict] = []
    ids: set[int] = set()
    names: dict[str, str] = {}
    for i, raw in enumerate(findings.list_of(data.get(key), dict, key)):
        findings.record = f"{key}[{i}]"
        ident, name = new_id(raw, ids, findings), raw.get("name")
        if not isinstance(name, str) or not name.strip():
            findings.add("name", name, "a unique name")
        elif same_name(name) in names:
            what = "a unique name; case, spaces and underscores are no difference"
            findings.add("name", name, f"{what} to {names[same_name(name)]!r}")
        elif ident is not None:
            names[same_name(name)] = name
            sound.append(raw | {"name": name.strip()})
    findings.record = ""
    return sorted(sound, key=lambda c: c["id"])


def _ing_form(verb: dict, findings: Findings) -> str:
    form = verb.get("name_ing", verb["name"])
    if isinstance(form, str) and form.strip():
        return form
    findings.add("verb_categories: name_ing", form, "the -ing form of the verb, or no such key")
    return verb["name"]


def new_id(raw: dict, seen: set[int], findings: Findings) -> int | None:
    """Returns the `id` of a member, which must be unique."""
    ident = raw.get("id")
    if type(ident) is not int or abs(ident) >= ID_LIMIT or ident in seen:
        findings.add("id", ident, "a unique integer")
        return None
    seen.add(ident)
    return ident


def lookup(raw: dict, key: str, table: dict, findings: Findings, what: str) -> Any:
    """Returns the member of a table that an id in a field refers to."""
    value = raw.get(key)
    found = table.get(value) if type(value) is int else None
    if found is None:
        findings.add(key, value, what)
    return found
