"""V-COCO's rules against literal oracles."""

from __future__ import annotations

import evaluation_oracles as oracle
import numpy as np
import pytest
from evaluation_oracles import Pair, Person
from evaluation_worlds import IMAGES, NAN_BOX, boxes
from hypothesis import given, settings
from hypothesis import strategies as st

from hoi_d2.data.vocabulary import Vocabulary, vcoco_vocabulary
from hoi_d2.evaluation.results import HOIResults
from hoi_d2.evaluation.vcoco_metrics import score_vcoco, summarize_vcoco
from hoi_d2.evaluation.vcoco_truth import VCOCOTruth, action_of_verb

VERBS = ("hold_obj", "walk", "cut_instr", "cut_obj")
VOCABULARY = Vocabulary(
    "small_vcoco",
    ("person", "cup"),
    VERBS,
    VERBS,
    np.zeros((0, 2), dtype=np.int64),
    np.ones((2, len(VERBS)), dtype=bool),
)
ACTION_OF = [0, 1, 2, 2]
ROLES = [v for v, name in enumerate(VERBS) if name != "walk"]

_person_boxes = st.lists(boxes(), min_size=1, max_size=6)


@st.composite
def worlds(draw) -> tuple[list[Person], list[Pair]]:
    """Persons (some ignored, some without object) and pairs (some without object)."""
    pool = draw(_person_boxes)
    box = st.sampled_from(pool)
    persons = []
    for _ in range(draw(st.integers(0, 6))):
        ignored = draw(st.booleans()) and draw(st.booleans())
        actions = set() if ignored else draw(st.sets(st.integers(0, 2)))
        verbs = [v for v in ROLES if ACTION_OF[v] in actions]
        objects = {v: draw(box) for v in verbs if draw(st.booleans())}
        persons.append(Person(draw(st.sampled_from(IMAGES)), draw(box), ignored, actions, objects))
    score = iter(draw(st.permutations(range(60))))  # no ties: the official sort is not stable
    pairs, seen = [], set()
    for _ in range(draw(st.integers(0, 8))):
        empty = st.sampled_from([None, [0.0] * 4])
        image, human = draw(st.sampled_from(IMAGES)), draw(box)
        obj = draw(st.one_of(box, empty))
        key = (image, *human, *(obj or [-1]))
        if key in seen:
            continue  # the same boxes are the same pair
        seen.add(key)
        verbs = draw(st.sets(st.sampled_from(range(len(VERBS))), min_size=1))
        pairs.append(Pair(image, human, obj, {v: next(score) / 60 for v in sorted(verbs)}))
    return persons, pairs


def truth_of(persons: list[Person]) -> VCOCOTruth:
    """Dataset dicts whose continuous boxes clean to the persons' inclusive ones."""
    records = []
    for image in IMAGES:
        entities, interactions = [], []
        for person in (p for p in persons if p.image == image):
            human = len(entities)
            entities.append(_entity(person.box, 0) | {"labelled": not person.ignored})
            for verb, action in enumerate(ACTION_OF):
                if action in person.actions:
                    other = -1
                    if verb in person.objects:
                        other = len(entities)
                        entities.append(_entity(person.objects[verb], 1))
                    interactions.append({"human": human, "object": other, "verb": verb})
        record = {"file_name": "", "image_id": image, "height": 99, "width": 99}
        records.append(record | {"annotations": entities, "hoi_annotations": interactions})
    return VCOCOTruth.from_dataset_dicts(records, VOCABULARY)


def _entity(box: list[float], category: int) -> dict:
    inclusive = [box[0], box[1], box[2] + 1, box[3] + 1]
    return {"bbox": inclusive, "category_id": category, "area": 5.0, "labelled": False}


def results_of(pairs: list[Pair]) -> HOIResults:
    rows = [(p, v, s) for p in pairs for v, s in p.scores.items()]
    rows.sort(key=lambda row: -row[2])  # rows of a pair do not stand together
    ids = np.asarray([p.image for p, _, _ in rows], dtype=np.int64)
    return HOIResults(
        image_ids=ids,
        human_boxes=np.asarray([p.human for p, _, _ in rows], dtype=float).reshape(-1, 4),
        object_boxes=np.asarray([p.object or NAN_BOX for p, _, _ in rows]).reshape(-1, 4),
        object_classes=np.zeros(len(rows), dtype=np.int32),
        verb_classes=np.asarray([v for _, v, _ in rows], dtype=np.int32),
        hoi_classes=np.full(len(rows), -1, dtype=np.int32),
        scores=np.asarray([s for _, _, s in rows], dtype=float),
    )


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_agrees_with_the_literal_rules(world):
    persons, pairs = world
    scores = score_vcoco(results_of(pairs), truth_of(persons), VOCABULARY)
    agents = oracle.vcoco_agents(pairs, persons, ACTION_OF)
    np.testing.assert_allclose(scores.agent, agents, rtol=0, atol=1e-12)
    for scenario, values in ((1, scores.role_s1), (2, scores.role_s2)):
        expected = oracle.vcoco_roles(pairs, persons, ACTION_OF, scenario)
        np.testing.assert_allclose(values[ROLES], np.take(expected, ROLES), rtol=0, atol=1e-12)
        assert np.isnan(values[1])  # walk has no role


MAN, CUP, FAR = [1.0, 1.0, 5.0, 9.0], [4.0, 4.0, 6.0, 6.0], [70.0, 70.0, 80.0, 80.0]


@pytest.mark.parametrize(
    "pairs, person, agent, s1, s2",
    [
        ([], Person(3, MAN, False, {0}, {0: CUP}), 0, 0, 0),
        ([Pair(3, MAN, CUP, {0: 0.5})], Person(3, MAN, False, {0}, {0: CUP}), 1, 1, 1),
        # no object annotated: scenario 1 wants none, scenario 2 takes anything
        ([Pair(3, MAN, CUP, {0: 0.5})], Person(3, MAN, False, {0}, {}), 1, 0, 1),
        ([Pair(3, MAN, None, {0: 0.5})], Person(3, MAN, False, {0}, {}), 1, 1, 1),
        # an object annotated, none given
        ([Pair(3, MAN, None, {0: 0.5})], Person(3, MAN, False, {0}, {0: CUP}), 1, 0, 0),
        # an ignored person takes the detection away; elsewhere in the image it is wrong
        ([Pair(3, MAN, CUP, {0: 0.5})], Person(3, MAN, True, set(), {}), 0, 0, 0),
        ([Pair(5, MAN, CUP, {0: 0.5})], Person(3, MAN, False, {0}, {0: CUP}), 0, 0, 0),
        ([Pair(3, FAR, CUP, {0: 0.5})], Person(3, MAN, False, {0}, {0: CUP}), 0, 0, 0),
    ],
)
def test_known_cases(pairs, person, agent, s1, s2):
    scores = score_vcoco(results_of(pairs), truth_of([person]), VOCABULARY)
    assert [scores.agent[0], scores.role_s1[0], scores.role_s2[0]] == [agent, s1, s2]


def test_the_agent_score_is_the_larger_of_two_roles():
    persons = [Person(3, MAN, False, {2}, {}), Person(5, MAN, False, set(), {})]
    pairs = [Pair(3, MAN, CUP, {2: 0.1, 3: 0.9}), Pair(5, MAN, CUP, {2: 0.5})]
    scores = score_vcoco(results_of(pairs), truth_of(persons), VOCABULARY)
    assert scores.agent[2] == 1.0  # 0.9 stands before the false 0.5


def test_official_cleaning_of_annotations():
    entities = [
        _entity(MAN, 0) | {"labelled": True},
        _entity(FAR, 0) | {"area": 0},
        {"bbox": [3.0, 3.0, 3.9, 9.0], "category_id": 0, "area": 4.0},  # less than a pixel wide
        {"bbox": [-5.0, 90.0, 200.0, 200.0], "category_id": 0, "area": 4.0},
    ]
    record = {"file_name": "", "image_id": 3, "height": 99, "width": 90, "annotations": entities}
    truth = VCOCOTruth.from_dataset_dicts([record | {"hoi_annotations": []}], VOCABULARY)
    np.testing.assert_array_equal(truth.boxes, [MAN, [0, 90, 89, 98]])
    assert truth.ignored.tolist() == [False, True]


def test_no_images_and_unknown_images():
    empty = VCOCOTruth.from_dataset_dicts([], VOCABULARY)
    scores = score_vcoco(results_of([Pair(3, MAN, CUP, {0: 0.5})]), empty, VOCABULARY)
    assert not scores.agent.any() and scores.num_positives.tolist() == [0, 0, 0]


def test_actions_of_vcoco():
    actions, action_of = action_of_verb(vcoco_vocabulary().verbs)
    assert len(actions) == 26 and actions[0] == "hold" and actions[-1] == "snowboard"
    assert np.bincount(action_of).max() == 2 and (np.bincount(action_of) == 2).sum() == 3


def test_summary_counts_24_and_25_roles():
    vocabulary = vcoco_vocabulary()
    values = np.where([v == "point_instr" for v in vocabulary.verbs], 1.0, 0.0)
    ap_values = {"agent": np.ones(26), "role_s1": values, "role_s2": 1 - values}
    metrics = summarize_vcoco(ap_values, vocabulary)
    assert metrics["AP_agent"] == 100
    assert metrics["AP_role_s1"] == 0 and metrics["AP_role_s1_25"] == pytest.approx(4)
    assert metrics["AP_role_s2"] == 100 and metrics["AP_role_s2_25"] == pytest.approx(96)
