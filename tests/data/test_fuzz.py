"""Whatever a file holds: it loads, or a DataFormatError names the place. Nothing else, ever."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_hico_det import qpic_record
from test_hoi_json import document
from test_vcoco import odgt_line, official, qpic, upt

from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.datasets.hoi_json import load_hoi_json, read_vocabulary
from hoi_d2.data.datasets.mpii import load_mpii
from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.data.datasets.vcoco import load_vcoco
from hoi_d2.data.validation import validate_file
from hoi_d2.data.vocabulary import Vocabulary, hico_det_vocabulary, vcoco_vocabulary


def upt_hico_det() -> dict:
    pair = {"boxes_h": [[1, 1, 5, 5]], "boxes_o": [[2, 2, 6, 6]]}
    pair |= {"hoi": [18], "object": [9], "verb": [76]}
    head = {"correspondence": [], "filenames": ["HICO_test2015_00000001.jpg"], "size": [[8, 6]]}
    return head | {"annotation": [pair]}


def mpii() -> dict:
    return {"activities": ["a", "b"], "images": [{"file_name": "012.jpg", "activity": 1}]}


def load_official(file):
    coco = file.with_name("coco.json")
    coco.write_text(json.dumps(official()[1]))
    return load_vcoco(file, coco_annotations=coco)


def load_coco_of_official(file):
    labels = file.with_name("labels.json")
    labels.write_text(json.dumps(official()[0]))
    return load_vcoco(labels, coco_annotations=file)


FORMS: dict[str, tuple[Callable, Callable]] = {
    "qpic hico_det": (lambda: [qpic_record()], load_hico_det),
    "upt hico_det": (upt_hico_det, load_hico_det),
    "qpic vcoco": (qpic, load_vcoco),
    "upt vcoco": (upt, load_vcoco),
    "odgt": (odgt_line, load_vcoco),
    "official vcoco": (lambda: official()[0], load_official),
    "coco of official": (lambda: official()[1], load_coco_of_official),
    "hoi_json": (document, load_hoi_json),
    "mpii": (mpii, load_mpii),
}

ODD = [None, True, False, 0, -1, 1, 5, 2**31, 2**70, 10**400, 0.5, -0.0, 1e308, "", "a", "person"]
ODD += [math.nan, math.inf, -math.inf, "7.jpg", "\0", "\ud800", [], {}, [[]], [None], {"id": 1}]
odd_values = st.one_of(
    st.sampled_from(ODD),
    st.integers(-3, 130),
    st.floats(-1e3, 1e3),
    st.text(max_size=4),
    st.recursive(
        st.none() | st.booleans() | st.integers(-2, 9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=6,
    ),
)


def places(data: object, path: tuple = ()) -> list[tuple]:
    """The path of every member of a nested object."""
    members = data.items() if isinstance(data, dict) else enumerate(data)
    found = []
    for key, value in members:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


def damage(draw: Callable, data: object) -> object:
    """Changes, removes or repeats one to three members."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 3))):
        all_places = places(data)
        if not all_places:
            break
        *path, key = draw(st.sampled_from(all_places))
        parent = data
        for step in path:
            parent = parent[step]
        action = draw(st.sampled_from(["set", "set", "remove", "repeat"]))
        if action == "remove":
            del parent[key]
        elif action == "repeat" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        else:
            parent[key] = copy.deepcopy(draw(odd_values))
    return data


def check_records(records: list[dict], vocabulary: Vocabulary) -> None:
    """What everything that loads may rely on."""
    for record in records:
        assert isinstance(record["file_name"], str)
        assert type(record["image_id"]) is int
        assert ("width" in record) == ("height" in record)
        for entity in record["annotations"]:
            x0, y0, x1, y1 = entity["bbox"]
            assert x0 <= x1
            assert y0 <= y1
            assert all(math.isfinite(v) for v in entity["bbox"])
            assert entity["category_id"] in range(len(vocabulary.objects))
        for pair in record["hoi_annotations"]:
            human = record["annotations"][pair["human"]]
            assert human["category_id"] == vocabulary.person
            assert pair["object"] in range(-1, len(record["annotations"]))
            assert pair["verb"] in range(len(vocabulary.verbs))
            if pair["hoi"] >= 0:
                target = record["annotations"][pair["object"]]["category_id"]
                assert list(vocabulary.hois[pair["hoi"]]) == [target, pair["verb"]]


def vocabulary_of(form: str, file) -> Vocabulary:
    if form == "hoi_json":
        return read_vocabulary(file)
    return hico_det_vocabulary() if "hico" in form else vcoco_vocabulary()


def interactions_in(form: str, data: object) -> int:
    """How many interactions a file that loads holds, counted without the loaders."""
    if form.startswith("qpic"):
        return sum(len(r["hoi_annotation"]) for r in data)
    if form.startswith("upt"):
        images = data["annotation" if "hico" in form else "annotations"]
        return sum(len(r["boxes_h"]) for r in images)
    if form == "official vcoco":
        return sum(sum(a["label"]) * max(1, len(a["role_name"]) - 1) for a in data)
    if form == "hoi_json":
        return len(data["hoi_annotations"])
    return len(data["hoi"])


def check_file(form: str, file, content: bytes) -> None:
    """Loads and validates a file with this content."""
    file.write_bytes(content)
    load = FORMS[form][1]
    try:
        records = load(file)
        check_records(records, vocabulary_of(form, file))
        if form not in ("coco of official", "mpii"):  # nothing is lost silently
            found = sum(len(r["hoi_annotations"]) for r in records)
            assert found == interactions_in(form, json.loads(content))
    except DataFormatError as error:
        assert error.problems
        assert str(file.parent) in str(error)
        loads = False
    else:
        loads = True
    report = validate_file(file)
    if not loads and form not in ("coco of official", "official vcoco"):
        assert not report.is_sound


@pytest.mark.parametrize("form", FORMS)
def test_the_undamaged_form_is_sound(tmp_path, form):
    file = tmp_path / "x.json"
    file.write_text(json.dumps(FORMS[form][0]()))
    check_records(FORMS[form][1](file), vocabulary_of(form, file))
    if form != "coco of official":
        assert validate_file(file).is_sound


@pytest.mark.parametrize("form", FORMS)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_form(tmp_path, form, data):
    damaged = damage(data.draw, FORMS[form][0]())
    check_file(form, tmp_path / "x.json", json.dumps(damaged).encode())


@pytest.mark.parametrize("form", ["qpic hico_det", "odgt", "hoi_json"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_bytes(tmp_path, form, data):
    content = bytearray(json.dumps(FORMS[form][0]()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    check_file(form, tmp_path / "x.json", bytes(content[: cut or None]))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=60), name=st.sampled_from(["x.json", "x.odgt"]))
def test_any_bytes(tmp_path, content, name):
    read_all(tmp_path / name, content)


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=60))
def test_any_bytes_for_matlab(tmp_path, content):
    """Fewer of them: each is read in a process of its own."""
    read_all(tmp_path / "x.mat", content)


def read_all(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    for load in (load_hico_det, load_vcoco, load_hoi_json, load_mpii):
        with pytest.raises(DataFormatError, match=file.name) if content != b"[]" else _nothing():
            load(file)
    validate_file(file)


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *args) -> None: ...
