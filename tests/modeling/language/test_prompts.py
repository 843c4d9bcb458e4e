import numpy as np
import pytest

from hoi_d2.data.open_vocabulary import open_vocabulary
from hoi_d2.data.vocabulary import Vocabulary, hico_det_vocabulary, vcoco_vocabulary
from hoi_d2.modeling.language.prompts import (
    TEMPLATES,
    hoi_sentences,
    interaction_classes,
    sentence_table,
    together_rows,
    with_article,
)


def own_vocabulary(hois=((1, 0), (1, 1))):
    objects, verbs = ("person", "paint_roller"), ("hold", "no_interaction")
    return Vocabulary.from_hois("own", objects, verbs, hois, verbs_ing=("holding", verbs[1]))


@pytest.mark.parametrize(
    "template, first, no_interaction",
    [
        ("rmlr", "a person is boarding an airplane", "a person and an airplane"),
        ("defr", "a person boarding an airplane", "a person and an airplane"),
        ("defr_release", "a person board the airplane", "a person and an airplane"),
        (
            "photo",
            "a photo of a person boarding an airplane",
            "a photo of a person and an airplane",
        ),
        ("{object}: {verb}", "airplane: board", "a person and an airplane"),
    ],
)
def test_hico_sentences(template, first, no_interaction):
    sentences = hoi_sentences(hico_det_vocabulary(), template=template)
    assert len(sentences) == len(set(sentences)) == 600
    assert sentences[0] == first
    vocabulary = hico_det_vocabulary()
    row = sentence_table(vocabulary)[4, vocabulary.verbs.index("no_interaction")]
    assert sentences[row] == no_interaction


def test_no_underscores_and_no_double_spaces():
    for vocabulary in (hico_det_vocabulary(), vcoco_vocabulary(), own_vocabulary()):
        for template in TEMPLATES:
            for sentence in hoi_sentences(vocabulary, template=template):
                assert "_" not in sentence and "  " not in sentence and sentence.strip() == sentence


def test_vcoco_sentences():
    vocabulary = vcoco_vocabulary()
    sentences = hoi_sentences(vocabulary)
    classes = interaction_classes(vocabulary)
    assert len(sentences) == len(classes) == vocabulary.valid_verbs.sum()
    table = sentence_table(vocabulary)

    def sentence(verb, noun):
        return sentences[table[vocabulary.objects.index(noun), vocabulary.verbs.index(verb)]]

    assert sentence("cut_instr", "knife") == "a person is cutting with a knife"
    assert sentence("cut_obj", "cake") == "a person is cutting a cake"
    assert sentence("lay_instr", "bed") == "a person is lying on a bed"
    assert sentence("talk_on_phone_instr", "cell phone") == "a person is talking on a cell phone"
    assert sentence("ski_instr", "skis") == "a person is skiing on skis"
    assert sentence("stand", "dog") == "a person is standing"  # an action without a role
    assert len({s for s, (_, v) in zip(sentences, classes) if vocabulary.verbs[v] == "walk"}) == 1


def test_own_vocabulary():
    assert hoi_sentences(own_vocabulary(hois=())) == []
    assert hoi_sentences(own_vocabulary()) == [
        "a person is holding a paint roller",
        "a person and a paint roller",
    ]


@pytest.mark.parametrize("vocabulary", [hico_det_vocabulary(), vcoco_vocabulary()])
def test_the_table_inverts_the_classes(vocabulary):
    table, classes = sentence_table(vocabulary), interaction_classes(vocabulary)
    assert (table[classes[:, 0], classes[:, 1]] == np.arange(len(classes))).all()
    assert ((table >= 0) == vocabulary.valid_verbs).all()


@pytest.mark.parametrize(
    "noun, expected",
    [
        ("airplane", "an airplane"),
        ("tv", "a tv"),
        ("unicycle", "a unicycle"),
        ("umbrella", "an umbrella"),
        ("scissors", "scissors"),
    ],
)
def test_articles(noun, expected):
    assert with_article(noun) == expected


@pytest.mark.parametrize("template", ["", "clip", "{who} rides", "{0}", "{verb"])
def test_wrong_templates_are_refused(template):
    with pytest.raises(ValueError, match="template"):
        hoi_sentences(hico_det_vocabulary(), template=template)


def test_own_classes_are_said_in_their_own_words():
    own = open_vocabulary(["riding a brown horse", "smiling"], ["person", "dog", "horse"])
    sentences = hoi_sentences(own, template="photo")
    assert sentences == [
        "a photo of a person riding a brown horse",
        "a photo of a person smiling",
        "a photo of a person and a person",
        "a photo of a person and a dog",
        "a photo of a person and a horse",
    ]
    assert sentence_table(own).tolist() == [[-1, 1], [-1, 1], [0, 1]]
    assert together_rows(own).tolist() == [2, 3, 4]
    known = open_vocabulary(["riding a brown horse"], ["person", "dog", "horse"])
    assert together_rows(known).tolist() == [-1, -1, 1]
    assert (together_rows(hico_det_vocabulary()) == -1).all()
