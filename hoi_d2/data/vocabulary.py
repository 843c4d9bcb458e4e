"""Objects, verbs and HOI classes of each dataset, in the order used everywhere in the project.

Objects are COCO's 80 in COCO's order (0 = person) in every built-in dataset; HICO-DET's 117 verbs
are alphabetical and its 600 HOIs in the official order; V-COCO has 29 action-roles and no HOI
classes. Nothing here needs torch or detectron2, so that result files can be scored without them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

_FILES = Path(__file__).parent / "vocabularies"
ZERO_SHOT_SPLITS = ("rf_uc", "nf_uc", "uo", "uv")


NO_INTERACTION = "no_interaction"
"""HICO's verb of a person next to an object with which they do nothing."""
ROLES = ("_obj", "_instr")
"""How the names of V-COCO's action-roles with an object end."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The classes of one dataset and their possible combinations.

    Args:
        name: the name for messages and cache keys.
        objects: entity names; ids are positions.
        verbs: verb (or action-role) names as the dataset writes them, e.g. `sit_on`.
        verbs_ing: the same in -ing form, with underscores, e.g. `sitting_on`.
        hois: (C, 2) object id and verb id of each HOI class; (0, 2) where there are none.
        valid_verbs: (num_objects, num_verbs) bool; which verbs an object can take.
        person: the entity id of a person.
        phrases: in an open vocabulary, each verb with its object in the user's own words.
    """

    name: str
    objects: tuple[str, ...]
    verbs: tuple[str, ...]
    verbs_ing: tuple[str, ...]
    hois: np.ndarray = field(repr=False)
    valid_verbs: np.ndarray = field(repr=False)
    person: int = 0
    phrases: tuple[str, ...] = ()

    @classmethod
    def from_hois(
        cls,
        name: str,
        objects: Sequence[str],
        verbs: Sequence[str],
        hois: Sequence[Sequence[int]] | np.ndarray,
        *,
        verbs_ing: Sequence[str] | None = None,
        person: int = 0,
    ) -> Vocabulary:
        """A vocabulary whose valid (object, verb) combinations are exactly its HOI classes."""
        table = np.asarray(hois, dtype=np.int64).reshape(-1, 2)
        valid = np.zeros((len(objects), len(verbs)), dtype=bool)
        valid[table[:, 0], table[:, 1]] = True
        ing = tuple(verbs_ing or verbs)
        return cls(name, tuple(objects), tuple(verbs), ing, table, valid, person)

    def as_dict(self) -> dict[str, Any]:
        """The vocabulary as JSON data; checkpoints store it, so names need no dataset on disk."""
        return {
            "name": self.name,
            "objects": list(self.objects),
            "verbs": list(self.verbs),
            "verbs_ing": list(self.verbs_ing),
            "hois": self.hois.tolist(),
            "valid": np.argwhere(self.valid_verbs).tolist(),
            "person": self.person,
            "phrases": list(self.phrases),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Vocabulary:
        """Returns the vocabulary from `as_dict`'s data; older files have HOI classes only.

        Raises:
            Exception: it is damaged; of many kinds.
        """
        objects, verbs = tuple(content["objects"]), tuple(content["verbs"])
        hois = np.asarray(content["hois"], dtype=np.int64).reshape(-1, 2)
        valid = np.zeros((len(objects), len(verbs)), dtype=bool)
        pairs = np.asarray(content.get("valid", hois), dtype=np.int64).reshape(-1, 2)
        name = content.get("name", "classes of a checkpoint")
        ing, phrases = tuple(content.get("verbs_ing", verbs)), tuple(content.get("phrases", ()))
        if not all(isinstance(text, str) for text in (name, *objects, *verbs, *ing, *phrases)):
            raise TypeError("a class name is no text")
        if (hois < 0).any() or (hois >= valid.shape).any() or (pairs < 0).any():
            raise ValueError("an HOI class has no object or verb")
        valid[pairs[:, 0], pairs[:, 1]] = True
        return cls(
            name,
            objects,
            verbs,
            ing,
            hois,
            valid,
            int(content.get("person", 0)),
            phrases,
        )

    @cached_property
    def hoi_of(self) -> np.ndarray:
        """(num_objects, num_verbs) HOI id of each combination, -1 if it is not a class."""
        table = np.full((len(self.objects), len(self.verbs)), -1, dtype=np.int64)
        table[self.hois[:, 0], self.hois[:, 1]] = np.arange(len(self.hois))
        return table

    @property
    def person_verbs(self) -> np.ndarray:
        """(num_verbs,) bool: what a person does without an object, V-COCO's stand and walk, say.

        V-COCO's other verbs are named with the role of their object, `hold_obj`.
        """
        if not self.name.startswith("vcoco"):
            return np.zeros(len(self.verbs), dtype=bool)
        return np.array([not verb.endswith(ROLES) for verb in self.verbs])

    def hoi_name(self, hoi: int) -> str:
        """Returns the name of an HOI id, such as "sit_on chair"."""
        obj, verb = self.hois[hoi]
        return f"{self.verbs[verb]} {self.objects[obj]}"


def _read(name: str) -> dict:
    return json.loads((_FILES / f"{name}.json").read_text())


@lru_cache(maxsize=1)
def coco_objects() -> tuple[str, ...]:
    """COCO's 80 object names in COCO's order."""
    return tuple(_read("coco")["objects"])


@lru_cache(maxsize=1)
def coco_category_ids() -> tuple[int, ...]:
    """COCO's 80 category ids (1..90 with ten gaps), one per object."""
    return tuple(_read("coco")["coco_ids"])


@lru_cache(maxsize=1)
def object_of_coco_id() -> dict[int, int]:
    """COCO's category id (1..90) -> object id 0..79."""
    return {coco_id: i for i, coco_id in enumerate(coco_category_ids())}


@lru_cache(maxsize=1)
def hico_object_order() -> np.ndarray:
    """Returns (80,) COCO-contiguous id of each object in HICO's own alphabetical order."""
    return np.asarray(_read("hico_det")["hico_object_order"], dtype=np.int64)


@lru_cache(maxsize=1)
def hico_det_vocabulary() -> Vocabulary:
    """80 objects, 117 verbs, 600 HOIs (HICO-DET's official orders; objects in COCO's)."""
    data = _read("hico_det")
    return Vocabulary.from_hois(
        "hico_det", coco_objects(), data["verbs"], data["hois"], verbs_ing=data["verbs_ing"]
    )


@lru_cache(maxsize=1)
def hico_det_rare_hois() -> tuple[int, ...]:
    """Returns the 138 HOI classes with fewer than 10 training pairs."""
    return tuple(_read("hico_det")["rare_hois"])


@lru_cache(maxsize=1)
def hico_det_test_images_without_pairs() -> tuple[int, ...]:
    """Returns the 112 of the 9,658 test images without a visible pair; some files lack them."""
    return tuple(_read("hico_det")["test_images_without_pairs"])


@lru_cache(maxsize=1)
def hico_det_test_images() -> tuple[int, ...]:
    """Returns the numbers in the names of the 9,658 test images, ascending; some are not used."""
    gaps = frozenset(_read("hico_det")["test_image_gaps"])
    return tuple(i for i in range(1, 9658 + len(gaps) + 1) if i not in gaps)


@lru_cache(maxsize=1)
def vcoco_vocabulary() -> Vocabulary:
    """80 objects and 29 action-roles in the official action order; no HOI classes."""
    data = _read("vcoco")
    valid = np.zeros((len(coco_objects()), len(data["verbs"])), dtype=bool)
    for verb, objects in enumerate(data["objects_of_verb"]):
        valid[objects, verb] = True
    verbs = tuple(data["verbs"])
    no_hois = np.zeros((0, 2), dtype=np.int64)
    return Vocabulary("vcoco", coco_objects(), verbs, verbs, no_hois, valid)


@lru_cache(maxsize=1)
def upt_vcoco_verbs() -> tuple[str, ...]:
    """The 24 action-roles that UPT and its kin have: those with an object, without `point`."""
    absent = {"stand", "walk", "run", "smile", "point_instr"}
    return tuple(verb for verb in vcoco_vocabulary().verbs if verb not in absent)


@lru_cache(maxsize=1)
def upt_vcoco_vocabulary() -> Vocabulary:
    """V-COCO's 29 action-roles, of which only what its annotated pairs show is possible.

    So UPT and its kin have it: `hold` goes with 58 objects instead of 80, and the action-roles that
    are not among `upt_vcoco_verbs` go with none.
    """
    whole = vcoco_vocabulary()
    valid = np.zeros_like(whole.valid_verbs)
    for verb, objects in _read("vcoco")["annotated_objects_of_verb"].items():
        valid[objects, whole.verbs.index(verb)] = True
    return replace(whole, name="vcoco_upt", valid_verbs=valid)


@lru_cache(maxsize=1)
def vcoco_actions() -> tuple[str, ...]:
    """V-COCO's 26 actions in the official order; a two-role action is one action."""
    verbs = vcoco_vocabulary().verbs
    return tuple(dict.fromkeys(v.removesuffix("_obj").removesuffix("_instr") for v in verbs))


@lru_cache(maxsize=1)
def vcoco_test_images() -> frozenset[int]:
    """COCO's ids of the 4,946 images of V-COCO's test set, all of them in COCO's val2014."""
    return frozenset(_read("vcoco_images")["test_images"])


@lru_cache(maxsize=1)
def hico_few_shot_hois() -> dict[int, tuple[int, ...]]:
    """HICO's few-shot groups: i -> the HOIs with at most i positive training images.

    They have 49, 125 and 162 classes for i = 1, 5 and 10; each group contains the previous one.
    """
    groups = _read("hico")["few_shot_hois"]
    return {int(limit): tuple(hois) for limit, hois in groups.items()}


@lru_cache(maxsize=4)
def hico_det_unseen_hois(split: str) -> tuple[int, ...]:
    """Returns the HOI classes that are unseen in a zero-shot setting of HICO-DET, ascending.

    | split | unseen | classes |
    |---|---|---|
    | `rf_uc` | 120 | combinations, rare ones first; each verb and object is seen elsewhere |
    | `nf_uc` | 120 | the same, of non-rare classes |
    | `uo` | 100 | all classes of 12 objects |
    | `uv` | 84 | all classes of 20 verbs |

    Source: the lists that GEN-VLKT (Liao et al., CVPR 2022) released and later papers use; rf_uc
    and nf_uc are VCL's (Hou et al., ECCV 2020), uo is ATL's (Hou et al., CVPR 2021).

    Raises:
        KeyError: the split is unknown; the message lists the choices.
    """
    if split not in ZERO_SHOT_SPLITS:
        known = ", ".join(ZERO_SHOT_SPLITS)
        raise KeyError(f"no zero-shot split {split!r}; expected one of {known}")
    return tuple(_read("zero_shot")[split])
