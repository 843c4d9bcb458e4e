"""Damage in each form of annotations: which record is wrong is named, in all of them."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from data_forms import mpii, upt_hico_det
from test_hico_det import qpic_record
from test_hoi_json import document
from test_vcoco import odgt_line, official, qpic, upt

from hoi_d2.data.detect_format import annotation_files
from hoi_d2.data.validation import validate_file
from hoi_d2.data.vocabulary import hico_det_vocabulary, hico_object_order

TOOL = Path(__file__).parents[2] / "tools/validate_data.py"


def upt_of_all_classes() -> dict:
    order = [int(o) for o in hico_object_order()]
    hois = enumerate(hico_det_vocabulary().hois.tolist())
    return upt_hico_det() | {"correspondence": [[i, order.index(o), v] for i, (o, v) in hois]}


def put(*path_and_value: object) -> Callable:
    """A change that sets the member at a path."""
    *path, key, value = path_and_value

    def change(data):
        for step in path:
            data = data[step]
        data[key] = value

    return change


NUMBER = 10**30
DAMAGES = [
    # form, change, words of the one problem
    (list, lambda d: None, ["images = 0", "at least one"]),
    (lambda: [qpic_record()], put(0, "img_id", NUMBER), ["record 0", "integer img_id"]),
    (
        lambda: [qpic_record()],
        put(0, "annotations", 1, "bbox", [5, -9, 20, 60]),
        ["record 0", "annotations[1].bbox", "in the image"],
    ),
    (upt_of_all_classes, put("correspondence", 7, [7, 0, 0]), ["correspondence[7]", "HOI 7"]),
    (upt_of_all_classes, put("correspondence", 1, True), ["correspondence[1] = True", "HOI 1"]),
    (upt_of_all_classes, lambda d: d["correspondence"].pop(), ["correspondence = 599", "600"]),
    (upt, put("objects", ["background", "car"]), ["objects", "80 objects in their order"]),
    (document, put("verb_categories", 0, "id", "1"), ["verb_categories[0]", "integer"]),
    (
        lambda: (
            document()
            | {"hoi_categories": [{"id": i, "category_id": 9, "verb_id": i} for i in (4, 1)]}
        ),
        put("hoi_categories", 0, "id", 1.5),
        ["hoi_categories[0]", "1.5", "integer"],
    ),
    (mpii, put("activities", 0, " "), ["activities[0]", "a name"]),
    (lambda: official()[0], put(3, "image_id", 0, None), ["action 3 (run)", "image_id[0]"]),
    (
        lambda: official()[0],
        put(3, "role_object_id", 0, 12.5),
        ["action 3", "role_object_id[0][0]"],
    ),
    (lambda: official()[0], put(0, "ann_id", 0, 99), ["action 0", "ann_id[0] = 99", "11"]),
    (lambda: official()[0], put(0, "ann_id", []), ["action 0", "ann_id = 0", "1 ids"]),
]


@pytest.mark.parametrize("form, change, words", DAMAGES, ids=[" ".join(d[2]) for d in DAMAGES])
def test_damage_is_named(write_json, form, change, words):
    data = copy.deepcopy(form())
    change(data)
    report = validate_file(write_json(data))
    assert not report.is_sound
    texts = [str(p) for p in report.problems if p.level != "note"]
    assert any(all(word in text for word in words) for text in texts), texts


def three(record: dict, key: str, names: str) -> list[dict]:
    return [copy.deepcopy(record) | {key: names.format(i)} for i in (1, 2, 3)]


def repeated(head: dict, *keys: str) -> dict:
    """Three images instead of one, in the parallel lists of UPT's form."""
    return head | {k: [copy.deepcopy(head[k][0]) for _ in range(3)] for k in keys}


def many(form: str) -> list | dict:
    """Three sound images of a form."""
    if form == "qpic hico_det":
        records = three(qpic_record(), "file_name", "HICO_train2015_0000000{}.jpg")
        return [r | {"img_id": i} for i, r in enumerate(records, start=1)]
    if form == "qpic vcoco":
        return three(qpic()[0], "file_name", "COCO_val2014_00000000000{}.jpg")
    if form == "odgt":
        return three(odgt_line(), "file_name", "COCO_val2014_00000000000{}.jpg")
    if form == "upt hico_det":
        names = [f"HICO_test2015_0000000{i}.jpg" for i in (1, 2, 3)]
        return repeated(upt_hico_det(), "annotation", "size") | {"filenames": names}
    if form == "upt vcoco":
        data = upt()
        members = three(data["annotations"][0], "file_name", "COCO_val2014_00000000000{}.jpg")
        return data | {"annotations": members}
    return mpii() | {"images": three(mpii()["images"][0], "file_name", "00{}.jpg")}


EVERY_RECORD = {
    # form: what breaks record i, and its place in the report
    "qpic hico_det": (lambda d, i: put(i, "annotations", 0, "bbox", 0, math.nan)(d), "record {}"),
    "qpic vcoco": (lambda d, i: put(i, "hoi_annotation", 0, "category_id", 29)(d), "record {}"),
    "odgt": (lambda d, i: put(i, "gtboxes", 0, "box", [1, 2])(d), "line {1}"),
    "upt hico_det": (lambda d, i: put("annotation", i, "verb", 0, 117)(d), "record {}"),
    "upt vcoco": (lambda d, i: put("annotations", i, "objects", 0, 0)(d), "record {}"),
    "mpii": (lambda d, i: put("images", i, "activity", "1")(d), "images[{}]"),
}


@pytest.mark.parametrize("form", EVERY_RECORD)
def test_every_wrong_record_is_named_and_no_sound_one(tmp_path, form):
    file = tmp_path / "x.json"

    def report(wrong):
        data = many(form)
        for i in wrong:
            EVERY_RECORD[form][0](data, i)
        lines = map(json.dumps, data)
        file.write_text("\n".join(lines) if form == "odgt" else json.dumps(data))
        return [str(p) for p in validate_file(file).problems]

    for wrong in ((), (1,), (0, 2), (0, 1, 2)):
        places = [EVERY_RECORD[form][1].format(i, i + 1) for i in range(3)]
        found = report(wrong)
        named = [i for i in range(3) if any(places[i] in text for text in found)]
        assert named == list(wrong), found


@pytest.mark.parametrize("broken", [(0,), (1,), (0, 2)])
def test_every_broken_line_of_odgt_is_named(tmp_path, broken):
    lines = [json.dumps(record) for record in many("odgt")]
    for i in broken:
        lines[i] = lines[i][:-9]
    file = tmp_path / "x.odgt"
    file.write_text("\n".join(lines))
    report = validate_file(file)
    assert report.format == "vcoco"
    assert report.images == 3 - len(broken)
    assert [p.record for p in report.problems] == [f"line {i + 1}" for i in broken]


def test_a_folder_means_the_annotation_files_in_it(tmp_path):
    folder = tmp_path / "annotations" / "more"
    folder.mkdir(parents=True)
    (folder / "test_hico.json").write_text(json.dumps([qpic_record()]))
    (folder / "labels.txt").write_text("person")
    (tmp_path / "metrics.json").write_text('{"AP": 1}')
    known, others = annotation_files(tmp_path)
    assert [Path(p).name for p in known] == ["test_hico.json"]
    assert [Path(p).name for p in others] == ["metrics.json"]

    def run(path):
        command = [sys.executable, str(TOOL), str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    good = run(tmp_path)
    assert good.returncode == 0
    assert "1 images, 2 entities, 2 interactions" in good.stdout
    assert "metrics.json: holds no annotations, left out" in good.stderr
    (folder / "cut.json").write_text('[{"file_name": ')
    bad = run(tmp_path)
    assert bad.returncode == 1
    assert "cut.json: line 1" in bad.stdout
    (tmp_path / "empty").mkdir()
    none = run(tmp_path / "empty")
    assert none.returncode == 1
    assert "no annotation file" in none.stderr
