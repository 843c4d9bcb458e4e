import logging

import numpy as np
import pytest

from hoi_d2.data.open_vocabulary import open_vocabulary, parse_class, read_classes
from hoi_d2.data.vocabulary import coco_objects

NO_OBJECT = None
# phrase -> phrase without subject, verb, object
PHRASES = [
    ("riding a horse", "riding a horse", "riding", "horse"),
    ("a person is riding a horse.", "riding a horse", "riding", "horse"),
    ("A photo of a man feeding his dogs", "feeding his dogs", "feeding", "dog"),
    ("feeding a dog with a bone", "feeding a dog with a bone", "feeding", "dog"),
    ("sitting on the couch", "sitting on the couch", "sitting on", "couch"),
    ("sitting on the edge of a chair", None, "sitting on the edge of", "chair"),
    ("eating hot dogs", "eating hot dogs", "eating", "hot dog"),
    ("eating a slice of pizza", None, "eating a slice of", "pizza"),
    ("filling the dog bowl", None, "filling the dog", "bowl"),
    ("kicking an orange ball", None, "kicking an orange", "sports ball"),
    ("talking on a cell phone", None, "talking on", "cell phone"),
    ("talking on the mobile phone", None, "talking on", "cell phone"),
    ("riding bikes", "riding bikes", "riding", "bicycle"),
    ("hugging people", "hugging people", "hugging", "person"),
    ("cutting with two knives", None, "cutting with two", "knife"),
    ("wearing skis", "wearing skis", "wearing", "skis"),
    ("holding scissors", "holding scissors", "holding", "scissors"),
    ("holding wine glasses", None, "holding", "wine glass"),
    ("waiting for buses", None, "waiting for", "bus"),
    ("sit_on bench", "sit on bench", "sit on", "bench"),
    ("horse riding", "horse riding", "horse riding", "horse"),
    ("holding a frisbee and a dog", None, "holding", "frisbee"),
    ("petting a unicorn", "petting a unicorn", "petting a unicorn", NO_OBJECT),
    ("smiling", "smiling", "smiling", NO_OBJECT),
    ("catching the business", None, "catching the business", NO_OBJECT),
]


@pytest.mark.parametrize("given, phrase, verb, name", PHRASES)
def test_a_phrase_is_a_verb_and_an_object(given, phrase, verb, name):
    objects = coco_objects()
    own = parse_class(given, objects)
    assert own.phrase == (phrase or given)
    assert own.verb == verb
    assert (objects[own.object] if own.object >= 0 else NO_OBJECT) == name


@pytest.mark.parametrize("plural", [False, True])
def test_every_object_is_found_in_the_singular_and_plural(plural):
    irregular = {"knife": "knives", "mouse": "mice", "person": "people", "sheep": "sheep"}
    for number, name in enumerate(coco_objects()):
        word = name
        if plural and not name.endswith(("scissors", "skis")):
            suffix = "es" if name.endswith(("s", "x", "sh", "ch")) else "s"
            word = irregular.get(name, name + suffix)
        assert parse_class(f"holding the {word}", coco_objects()).object == number, word


def test_objects_of_another_detector():
    own = parse_class("petting a unicorn", ["person", "unicorn"])
    assert (own.verb, own.object) == ("petting", 1)
    assert parse_class("riding a bike", ["person", "unicorn"]).object == -1


def test_the_vocabulary(caplog):
    phrases = ["riding a horse", "petting a unicorn", "feeding a horse"]
    with caplog.at_level(logging.WARNING, logger="hoi_d2"):
        vocabulary = open_vocabulary(phrases, ["person", "dog", "horse"])
    assert vocabulary.verbs == ("riding", '"petting a unicorn"', "feeding")
    assert vocabulary.phrases == tuple(phrases)
    right = [[0, 1, 0], [0, 1, 0], [1, 1, 1]]
    assert np.array_equal(vocabulary.valid_verbs, np.array(right, dtype=bool))
    assert (vocabulary.hoi_of == -1).all()
    assert "'petting a unicorn' names no object" in caplog.text
    assert "riding" not in caplog.text


@pytest.mark.parametrize(
    "phrases, message",
    [
        ([], "empty"),
        (["riding a horse", " "], "empty"),
        (["Riding a horse", "riding a horse"], "twice"),
    ],
)
def test_classes_that_are_none(phrases, message):
    with pytest.raises(ValueError, match=message):
        open_vocabulary(phrases)


def test_text_files(tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("# my classes\nriding a horse\n\n  feeding a dog \n")
    assert read_classes([]) == []
    assert read_classes(["hugging a cat", str(file)]) == [
        "hugging a cat",
        "riding a horse",
        "feeding a dog",
    ]
    with pytest.raises(FileNotFoundError, match="no such text file"):
        read_classes([str(tmp_path / "none.txt")])
