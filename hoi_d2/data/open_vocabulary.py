"""Makes a vocabulary from classes in a user's own words, such as "riding a horse".

Nothing here needs torch or detectron2.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from hoi_d2.data.vocabulary import Vocabulary, coco_objects

logger = logging.getLogger(__name__)

ANY_OBJECT = -1

_SUBJECT = re.compile(
    r"^(an? (photo|image|image) of )?"
    r"((a|the|some) )?(person|human|man|woman|boy|girl|child|people|someone|somebody)"
    r"( who)?( is| are)? "
)
# Words that end a group; the last words of a group may name the object.
_BREAKS = frozenset(
    "a an the this that these those his her their its my your our one two three several many some "
    "on in at with of to from into onto over under by for off near behind along around across "
    "against inside through beside between above below up down out and or while".split()
)
_IRREGULAR = {"people": "person", "knives": "knife", "mice": "mouse", "children": "child"}
# Other words for COCO's objects.
_SYNONYMS = {
    "aeroplane": "airplane",
    "aircraft": "airplane",
    "ball": "sports ball",
    "baby": "person",
    "bag": "handbag",
    "basketball": "sports ball",
    "bat": "baseball bat",
    "bike": "bicycle",
    "boy": "person",
    "canoe": "boat",
    "cellphone": "cell phone",
    "child": "person",
    "computer": "laptop",
    "doughnut": "donut",
    "football": "sports ball",
    "fridge": "refrigerator",
    "girl": "person",
    "glass of wine": "wine glass",
    "glove": "baseball glove",
    "hair dryer": "hair drier",
    "hydrant": "fire hydrant",
    "kayak": "boat",
    "kitten": "cat",
    "laptop computer": "laptop",
    "lorry": "truck",
    "man": "person",
    "mobile phone": "cell phone",
    "motor bike": "motorcycle",
    "motorbike": "motorcycle",
    "mug": "cup",
    "phone": "cell phone",
    "plane": "airplane",
    "plant": "potted plant",
    "pony": "horse",
    "puppy": "dog",
    "purse": "handbag",
    "racket": "tennis racket",
    "racquet": "tennis racket",
    "remote control": "remote",
    "rucksack": "backpack",
    "smartphone": "cell phone",
    "soccer ball": "sports ball",
    "sofa": "couch",
    "table": "dining table",
    "teddy": "teddy bear",
    "telephone": "cell phone",
    "television": "tv",
    "tennis racquet": "tennis racket",
    "volleyball": "sports ball",
    "woman": "person",
}


@dataclass(frozen=True)
class OwnClass:
    """One class in a user's words.

    Attributes:
        phrase: "riding a brown horse", without a subject.
        verb: "riding"; the whole phrase if it names no known object.
        object: the id of the object, or `ANY_OBJECT`.
    """

    phrase: str
    verb: str
    object: int


def read_classes(given: Sequence[str]) -> list[str]:
    """Reads the values of `--classes`: phrases, or text files with one phrase per line.

    Empty lines and lines that begin with # are skipped.

    Raises:
        FileNotFoundError: a name that ends in .txt is not a file.
    """
    phrases: list[str] = []
    for item in given:
        if not item.endswith(".txt"):
            phrases.append(item)
            continue
        if not Path(item).is_file():
            raise FileNotFoundError(f"--classes {item}: no such text file")
        lines = (line.strip() for line in Path(item).read_text(encoding="utf-8").splitlines())
        phrases += [line for line in lines if line and not line.startswith("#")]
    return phrases


def open_vocabulary(
    phrases: Sequence[str], objects: Sequence[str] = (), *, person: int = 0
) -> Vocabulary:
    """Returns a vocabulary whose verbs are the phrases, each with the object that it names.

    A phrase that names no known object is combined with every object, with a warning.

    Args:
        phrases: phrases such as "riding a horse"; a subject ("a person is ...") is ignored.
        objects: the objects of the detector; () = COCO's 80.
        person: the entity id of a person.

    Raises:
        ValueError: there are no phrases, or one is empty or occurs twice.
    """
    return _open_vocabulary(tuple(phrases), tuple(objects) or coco_objects(), person)


@lru_cache(maxsize=16)
def _open_vocabulary(phrases: tuple[str, ...], objects: tuple[str, ...], person: int) -> Vocabulary:
    classes = [parse_class(phrase, objects) for phrase in phrases]
    _check(classes)
    valid = np.zeros((len(objects), len(classes)), dtype=bool)
    for verb, own in enumerate(classes):
        valid[own.object if own.object != ANY_OBJECT else slice(None), verb] = True
    verbs = tuple(c.verb if c.object != ANY_OBJECT else f'"{c.phrase}"' for c in classes)
    return Vocabulary(
        "own classes",
        objects,
        verbs,
        verbs,
        np.zeros((0, 2), dtype=np.int64),
        valid,
        person,
        phrases=tuple(c.phrase for c in classes),
    )


def parse_class(phrase: str, objects: Sequence[str]) -> OwnClass:
    """Finds the verb and the object of a phrase.

    Prepositions and articles split the phrase into groups of words. The first group whose last
    words name an object gives it: "ball" in "kicking an orange ball", "pizza" in "eating a slice of
    pizza".
    """
    clean = " ".join(re.sub(r"[^\w' -]", " ", phrase.lower()).replace("_", " ").split())
    clean = _SUBJECT.sub("", clean + " ").strip()
    names = _names(tuple(objects))
    words = clean.split()
    for start, end in (*_groups(words), *_anywhere(words)):
        for first in range(start, end):  # the longest name first
            found = [names[form] for form in _forms(words[first:end]) if form in names]
            if found:
                return OwnClass(clean, _without_breaks(words[:first]) or clean, found[0])
    return OwnClass(clean, clean, ANY_OBJECT)


def _groups(words: list[str]) -> list[tuple[int, int]]:
    """(start, end) of each group of words between prepositions and articles, without the verb."""
    groups, start = [], 1 if words and words[0] not in _BREAKS else 0
    for end in range(start, len(words) + 1):
        if end == len(words) or words[end] in _BREAKS:
            if end > start:
                groups.append((start, end))
            start = end + 1
    return groups


def _anywhere(words: list[str]) -> list[tuple[int, int]]:
    """Returns (start, end) of all beginnings of the phrase, tried last: "horse riding"."""
    return [(0, end) for end in range(len(words), 0, -1)]


def _without_breaks(words: list[str]) -> str:
    """Returns the verb before an object: "sitting on the" -> "sitting on"."""
    articles = {"a", "an", "the", "some", "his", "her", "their", "its", "my", "your"}
    while words and words[-1] in articles:
        words = words[:-1]
    return " ".join(words)


@lru_cache(maxsize=16)
def _names(objects: tuple[str, ...]) -> dict[tuple[str, ...], int]:
    """Returns the object id by the words of its name and of its synonyms, in the singular."""
    found: dict[tuple[str, ...], int] = {}
    for number, name in enumerate(objects):
        for form in _forms(name.replace("_", " ").lower().split()):
            found.setdefault(form, number)
    for word, name in _SYNONYMS.items():
        if (target := found.get(tuple(name.split()))) is not None:
            found.setdefault(tuple(word.split()), target)
    return found


def _forms(words: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the words as they are, then with the last word in each possible singular."""
    if not words:
        return []
    *before, last = words
    last = last.removesuffix("'s").removesuffix("'")
    singular = [last, _IRREGULAR.get(last, last)]
    if last.endswith("ies"):
        singular.append(last[:-3] + "y")
    if last.endswith("s") and len(last) > 2:
        singular.append(last[:-1])
    if last.endswith("es") and len(last) > 4:
        singular.append(last[:-2])
    return [(*before, word) for word in dict.fromkeys(singular)]


def _check(classes: Sequence[OwnClass]) -> None:
    phrases = [own.phrase for own in classes]
    if not phrases or "" in phrases:
        raise ValueError('own classes must be phrases such as "riding a horse"; one is empty')
    twice = sorted({phrase for phrase in phrases if phrases.count(phrase) > 1})
    if twice:
        raise ValueError(f"own classes that occur twice: {', '.join(twice)}")
    for own in classes:
        if own.object == ANY_OBJECT:
            logger.warning(
                "%r names no object that the detector knows; it is tried for every pair of a "
                "person and an object",
                own.phrase,
            )
