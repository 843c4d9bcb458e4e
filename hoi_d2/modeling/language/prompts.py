"""The sentence of each interaction class.

The papers do not print their sentences whole: RmLR's supplement says that labels are serialised as
a sentence, DEFR's text gives "a person riding a bicycle". The forms below are our own; verbs come
in HICO's own -ing forms, V-COCO's action-roles from a small table. Needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hoi_d2.data.vocabulary import NO_INTERACTION, Vocabulary, vcoco_vocabulary

_TOGETHER = "a person and {a_object}"


@dataclass(frozen=True)
class VerbPhrase:
    """A verb as words of a sentence.

    Attributes:
        base: "ride", as after "to".
        ing: "riding".
        takes_object: False = "walking"; the object is left out of the sentence.
    """

    base: str
    ing: str
    takes_object: bool = True


# name: the sentence, and that of `no_interaction`.
TEMPLATES: Mapping[str, tuple[str, str]] = {
    "rmlr": ("a person is {verb_ing} {a_object}", _TOGETHER),
    "defr": ("a person {verb_ing} {a_object}", _TOGETHER),
    "defr_release": ("a person {verb} {the_object}", _TOGETHER),
    "photo": ("a photo of a person {verb_ing} {a_object}", f"a photo of {_TOGETHER}"),
}

_VCOCO = {
    "hold_obj": VerbPhrase("hold", "holding"),
    "stand": VerbPhrase("stand", "standing", takes_object=False),
    "sit_instr": VerbPhrase("sit on", "sitting on"),
    "ride_instr": VerbPhrase("ride", "riding"),
    "walk": VerbPhrase("walk", "walking", takes_object=False),
    "look_obj": VerbPhrase("look at", "looking at"),
    "hit_instr": VerbPhrase("hit with", "hitting with"),
    "hit_obj": VerbPhrase("hit", "hitting"),
    "eat_obj": VerbPhrase("eat", "eating"),
    "eat_instr": VerbPhrase("eat with", "eating with"),
    "jump_instr": VerbPhrase("jump with", "jumping with"),
    "lay_instr": VerbPhrase("lie on", "lying on"),
    "talk_on_phone_instr": VerbPhrase("talk on", "talking on"),
    "carry_obj": VerbPhrase("carry", "carrying"),
    "throw_obj": VerbPhrase("throw", "throwing"),
    "catch_obj": VerbPhrase("catch", "catching"),
    "cut_instr": VerbPhrase("cut with", "cutting with"),
    "cut_obj": VerbPhrase("cut", "cutting"),
    "run": VerbPhrase("run", "running", takes_object=False),
    "work_on_computer_instr": VerbPhrase("work on", "working on"),
    "ski_instr": VerbPhrase("ski on", "skiing on"),
    "surf_instr": VerbPhrase("surf on", "surfing on"),
    "skateboard_instr": VerbPhrase("ride", "riding"),
    "smile": VerbPhrase("smile", "smiling", takes_object=False),
    "drink_instr": VerbPhrase("drink from", "drinking from"),
    "kick_obj": VerbPhrase("kick", "kicking"),
    "point_instr": VerbPhrase("point at", "pointing at"),
    "read_obj": VerbPhrase("read", "reading"),
    "snowboard_instr": VerbPhrase("snowboard on", "snowboarding on"),
}

_WITHOUT_ARTICLE = {"skis", "scissors", "broccoli"}
_VOWEL_SOUND = re.compile(r"(?!uni|use|eu|one)[aeiou]|hour|honest|heir")


def hoi_sentences(vocabulary: Vocabulary, *, template: str = "rmlr") -> list[str]:
    """One sentence for each interaction class, in the order of `interaction_classes`.

    Args:
        vocabulary: of the dataset.
        template: a name of `TEMPLATES`, or a sentence of your own with any of the fields
            `{verb_ing}` riding, `{verb}` ride, `{object}` bicycle, `{a_object}` a bicycle,
            `{the_object}` the bicycle.

    Raises:
        ValueError: the template or one of its fields is unknown.

    Examples:
        >>> hoi_sentences(hico_det_vocabulary())[0]
        'a person is boarding an airplane'
    """
    sentence, together = _template(template)
    if vocabulary.phrases:
        own = [
            _fill(sentence, VerbPhrase(p, p, takes_object=False), "") for p in vocabulary.phrases
        ]
        return own + [_fill(together, VerbPhrase("", ""), o) for o in _together_objects(vocabulary)]
    phrases = verb_phrases(vocabulary)
    sentences = []
    for obj, verb in interaction_classes(vocabulary):
        form = together if vocabulary.verbs[verb] == NO_INTERACTION else sentence
        sentences.append(_fill(form, phrases[verb], vocabulary.objects[obj]))
    return sentences


def interaction_classes(vocabulary: Vocabulary) -> np.ndarray:
    """(S, 2) object and verb of each class that has a sentence.

    HOI classes in their order; in a vocabulary without them (V-COCO) every verb, in order, with
    each object that it can take.
    """
    if len(vocabulary.hois):
        return vocabulary.hois
    return np.argwhere(vocabulary.valid_verbs.T)[:, ::-1].astype(np.int64)


def sentence_table(vocabulary: Vocabulary) -> np.ndarray:
    """(num_objects, num_verbs) row of the sentence of each combination; -1 = it has none."""
    if vocabulary.phrases:
        return np.where(vocabulary.valid_verbs, np.arange(len(vocabulary.phrases)), -1)
    table = np.full((len(vocabulary.objects), len(vocabulary.verbs)), -1, dtype=np.int64)
    classes = interaction_classes(vocabulary)
    table[classes[:, 0], classes[:, 1]] = np.arange(len(classes))
    return table


def together_rows(vocabulary: Vocabulary) -> np.ndarray:
    """(num_objects,) row of the sentence that says only that a person and an object are there.

    Own classes have such sentences after their own, so that there is something else that a pair
    may be; -1 = none (HICO-DET has a class for it).
    """
    rows = np.full(len(vocabulary.objects), -1, dtype=np.int64)
    if vocabulary.phrases:
        used = vocabulary.valid_verbs.any(axis=1)
        rows[used] = len(vocabulary.phrases) + np.arange(used.sum())
    return rows


def _together_objects(vocabulary: Vocabulary) -> list[str]:
    return [o for o, verbs in zip(vocabulary.objects, vocabulary.valid_verbs) if verbs.any()]


def verb_phrases(vocabulary: Vocabulary) -> list[VerbPhrase]:
    """The words of each verb: V-COCO's from the table, others from the vocabulary's own forms."""
    if vocabulary.verbs == vcoco_vocabulary().verbs:
        return [_VCOCO[verb] for verb in vocabulary.verbs]
    return [
        VerbPhrase(_words(verb), _words(ing))
        for verb, ing in zip(vocabulary.verbs, vocabulary.verbs_ing)
    ]


def with_article(noun: str) -> str:
    """`"an umbrella"`, `"a unicycle"`, `"skis"`."""
    if noun in _WITHOUT_ARTICLE:
        return noun
    return f"{'an' if _VOWEL_SOUND.match(noun.lower()) else 'a'} {noun}"


def _template(template: str) -> tuple[str, str]:
    if "{" in template:
        return template, _TOGETHER
    if template not in TEMPLATES:
        raise ValueError(
            f"no sentence template {template!r}: name one of {sorted(TEMPLATES)}, or write a "
            "sentence with {verb_ing} and {a_object}"
        )
    return TEMPLATES[template]


def _fill(form: str, phrase: VerbPhrase, noun: str) -> str:
    noun = _words(noun)
    fields = {"object": noun, "a_object": with_article(noun), "the_object": f"the {noun}"}
    if not phrase.takes_object:
        fields = dict.fromkeys(fields, "")
    try:
        filled = form.format(verb=phrase.base, verb_ing=phrase.ing, **fields)
    except (KeyError, IndexError, ValueError) as error:
        known = ", ".join(f"{{{name}}}" for name in ("verb_ing", "verb", *fields))
        raise ValueError(f"sentence template {form!r}: its fields may be {known}") from error
    return " ".join(filled.split())


def _words(name: str) -> str:
    return name.replace("_", " ")
