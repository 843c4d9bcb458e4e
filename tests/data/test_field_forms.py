"""Files of the field and own data as users have them: what they are taken for, what is said."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from cases import case
from test_hico_det import qpic_record
from test_hoi_json import document
from test_vcoco import odgt_line, qpic

from hoi_d2.commands.main import main
from hoi_d2.data import open_dataset
from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.datasets.hoi_json import load_hoi_json, read_vocabulary
from hoi_d2.data.datasets.hoi_json_classes import similar_class
from hoi_d2.data.datasets.records import DataFormatError, Findings
from hoi_d2.data.datasets.vcoco import load_vcoco
from hoi_d2.data.detect_format import annotation_files
from hoi_d2.data.suspicions import suspect_boxes
from hoi_d2.data.validation import validate_file
from hoi_d2.data.vocabulary import coco_objects, hico_det_vocabulary

# file, form, whether it is sound, and what is said about it
CASES = [
    ("own_json/bbox_normalized.json", "hoi_json", False, ["1 of 1 images", "0..1"]),
    ("own_json/no_verbs.json", "hoi_json", False, ["verb_categories = []", "at least one verb"]),
    ("own_json/no_hoi_key_coco_only.json", "", False, ["verb_categories and hoi_annotations"]),
    ("own_json/name_backslash.json", "hoi_json", False, ["'sub\\\\a.jpg'", "'sub/a.jpg'"]),
    ("own_json/verb_underscore_dup.json", "hoi_json", False, ["verb_categories[1]", "'ride'"]),
    ("own_json/own_qpic.json", "", False, ["own data", "street_001.jpg"]),
    ("own_json/swig.json", "", False, ["SWiG-HOI"]),
    ("odgt/hico_real_keys.odgt", "hico_det", True, []),
    ("odgt/hico_lowverbs.odgt", "hico_det", True, []),
    ("odgt/hoia.odgt", "", False, ["HOI-A"]),
    ("hostile/duplicate_key_hoi_annotation.json", "", False, ["'hoi_annotation' twice", "line 1"]),
    ("hostile/duplicate_key_hoi_annotations_own.json", "", False, ["'hoi_annotations' twice"]),
    ("hostile/validate_json_depth_500.json", "hico_det", False, ["record 0", "img_id"]),
    ("hostile/train_1x1.json", "hoi_json", True, []),
]


@pytest.mark.parametrize(("name", "form", "sound", "said"), CASES, ids=[c[0] for c in CASES])
def test_case(name, form, sound, said):
    report = validate_file(case(name))
    assert (report.format, report.is_sound) == (form, sound), report.problems
    text = "\n".join(map(str, report.problems))
    assert all(words in text for words in said), text
    json.dumps(report.as_dict())


@pytest.mark.parametrize(
    "name", ["validate_surrogate_name", "validate_terminal_escape", "validate_json_depth_500"]
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_hostile_names_reach_the_terminal_escaped(name, options, capsys):
    file = str(case(f"hostile/{name}.json"))
    assert main(["data", "validate", "--format", "hico_det", file, *options]) == 1
    printed = capsys.readouterr().out
    printed.encode()
    assert "\x1b" not in printed


# --- the same kinds, made here -------------------------------------------------------------------

HICO = {
    "hico_image_name": "HICO_train2015_00000007.jpg",
    "width": 640,
    "height": 480,
    "gtboxes": [
        {"tag": "person", "box": [10, 10, 50, 90]},
        {"tag": "bicycle", "box": [1, 5, 8, 6]},
    ],
    "hoi": [{"subject_id": 0, "object_id": 1, "interaction": "sit on", "category_id": 88}],
}


def odgt(tmp_path: Path, *records: dict) -> Path:
    file = tmp_path / "x.odgt"
    file.write_text("\n".join(map(json.dumps, records)))
    return file


def test_hico_det_in_odgt(tmp_path):
    file = odgt(tmp_path, HICO)
    (record,) = load_hico_det(file, "root")
    assert record["file_name"] == "root/HICO_train2015_00000007.jpg"
    assert (record["image_id"], record["width"], record["height"]) == (7, 640, 480)
    assert [e["bbox"] for e in record["annotations"]] == [[10, 10, 60, 100], [1, 5, 9, 11]]
    (pair,) = record["hoi_annotations"]
    assert hico_det_vocabulary().hoi_name(pair["hoi"]) == "sit_on bicycle"
    assert open_dataset(file).evaluator_type == "hico_det"
    with pytest.raises(DataFormatError, match="V-COCO's images"):
        load_vcoco(file)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ({"category_id": 3}, "hoi[0].category_id = 3; expected 88, the number of 'sit_on'"),
        ({"interaction": "juggle"}, "one of HICO's 117 verbs"),
        ({"interaction": "eat", "category_id": 24}, "'eat bicycle'; expected one of 600 HOIs"),
        ({"object_id": -1}, "hoi[0].object_id = -1"),
        ({"subject_id": 1}, "this is a bicycle"),
    ],
)
def test_contradictions_in_hico_det_odgt(tmp_path, pair, said):
    record = copy.deepcopy(HICO)
    record["hoi"][0] |= pair
    assert said in "\n".join(map(str, validate_file(odgt(tmp_path, record)).problems))


def test_contradiction_in_vcoco_odgt(tmp_path):
    record = odgt_line()
    record["hoi"][0]["interaction"] = "eat_obj"
    (problem,) = validate_file(odgt(tmp_path, record)).problems
    assert "hoi[0].interaction = 'eat_obj'; expected 'cut_obj'" in str(problem)


def test_contradiction_of_name_and_id(write_json):
    (problem,) = validate_file(write_json([qpic_record(img_id=8)])).problems
    assert "img_id = 8; expected 7, the number in the file name" in str(problem)
    assert len(load_hico_det(write_json([qpic_record(img_id=8)]))) == 1


def renamed(records: list[dict], name: str) -> list[dict]:
    return [r | {"file_name": name} for r in records]


@pytest.mark.parametrize(
    ("records", "form", "said"),
    [
        ([qpic_record()], "hico_det", ""),
        (renamed([qpic_record()], "sub/HICO_test2015_00000007.png"), "hico_det", ""),
        (qpic(), "vcoco", ""),
        (renamed(qpic(), "000000000042.jpg"), "vcoco", ""),
        (renamed([qpic_record()], "trainval_000007.png"), "", "HOI-A"),
        (renamed([qpic_record()], "frame7.jpg"), "", "own data in the form of QPIC"),
        ([{"file_name": "x.jpg", "box_annotations": []}], "", "SWiG-HOI"),
    ],
)
def test_dataset_by_the_names_of_images(write_json, records, form, said):
    report = validate_file(write_json(records))
    assert report.format == form
    assert said in str(report.problems)
    assert bool(said) == (not report.is_sound)


def test_the_format_can_be_said(write_json):
    file = write_json(renamed([qpic_record()], "frame7.jpg"))
    assert validate_file(file, file_format="hico_det").is_sound
    assert len(load_hico_det(file)) == 1


def test_foreign_data_in_a_folder_are_named_and_plain_coco_is_passed_over(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(renamed([qpic_record()], "frame7.jpg")))
    (tmp_path / "b.json").write_text('{"images": [], "annotations": []}')
    known, others = annotation_files(tmp_path)
    assert [Path(p).name for p in known] == ["a.json"]
    assert [Path(p).name for p in others] == ["b.json"]


def test_own_json_says_what_a_plain_coco_file_lacks(write_json):
    data = {k: v for k, v in document().items() if k not in ("verb_categories", "hoi_annotations")}
    with pytest.raises(DataFormatError, match="plain COCO file"):
        load_hoi_json(write_json(data))


def own(*, boxes=None, size=(100, 80), names=("person", "mug"), **changes) -> dict:
    """Persons and mugs in turn, each person holds the next mug."""
    boxes = [[10, 10, 20, 30], [20, 30, 20, 20]] if boxes is None else boxes
    image = {"id": 1, "file_name": "a.jpg"} | (dict(zip(("width", "height"), size)) if size else {})
    pairs = [
        {"image_id": 1, "human_annotation_id": i, "object_annotation_id": i + 1, "verb_id": 1}
        for i in range(0, len(boxes) - 1, 2)
    ]
    return {
        "images": [image],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": i % 2, "bbox": box}
            for i, box in enumerate(boxes)
        ],
        "verb_categories": [{"id": 1, "name": "hold"}],
        "hoi_annotations": pairs,
    } | changes


SMALL = [[i, i, 5, 5] for i in range(20)]
GROWING = [[i, i, i + 30, i + 30] for i in range(20)]
LARGE = [[150, 20, 60, 30], [20, 100, 30, 90]]
SUSPECTED = [
    # document, is sound, what is said
    (own(), True, ""),
    (own(boxes=[]) | {"hoi_annotations": []}, False, "interactions = 0"),
    (own(verb_categories=[], hoi_annotations=[]), False, "verb_categories = []"),
    (own(boxes=[[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.4, 0.3]]), False, "0..1"),
    (own(boxes=[[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.4, 0.3]], size=None), False, "0..1"),
    (own(boxes=[[0, 0, 1, 1], [0, 0, 2, 2]], size=(2, 2)), True, ""),
    (own(boxes=[[40, 30, 99, 79], [10, 5, 90, 70]]), False, "corners"),
    (own(boxes=GROWING, size=None), True, "corners"),
    (own(boxes=SMALL, size=(1000, 1000)), True, "smaller copy"),
    (own(boxes=SMALL, size=(30, 30)), True, ""),
    (own(boxes=[[90, 5, 60, 30], [70, 60, 25, 90]]), False, "larger copy"),
    (own(names=("person", "birthday cake")), True, "Did you mean 'cake'?"),
    (own(names=("person", "cellphone", "mug")), True, "Did you mean 'cell phone'?"),
    (own(names=("Person", "Cell_Phone")), True, ""),
]  # fmt: skip


@pytest.mark.parametrize(("data", "sound", "said"), SUSPECTED, ids=range(len(SUSPECTED)))
def test_suspicions(write_json, data, sound, said):
    report = validate_file(write_json(data))
    text = "\n".join(map(str, report.problems))
    assert said in text and bool(said) == bool(text), text
    assert report.is_sound == sound, text


def test_no_boxes_are_not_suspected():
    findings = Findings("x")
    suspect_boxes([], [], findings)
    suspect_boxes([{"annotations": []}], [(9, 9)], findings)
    assert findings.problems == []


def test_warnings_are_printed(write_json, capsys):
    file = write_json(own(names=("person", "birthday cake")))
    assert main(["data", "validate", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "warning: " in printed and "sound, 1 warnings" in printed


def test_an_area_larger_than_the_box(write_json):
    data = own()
    data["annotations"][0]["area"] = 4000
    (problem,) = validate_file(write_json(data)).problems
    assert "annotations[0]: area = 4000; expected at most" in str(problem)
    data["annotations"][0]["area"] = 610
    assert validate_file(write_json(data)).is_sound


def test_capital_letters_are_no_difference(write_json):
    """So that a detector trained on COCO fits, whatever the spelling."""
    vocabulary = read_vocabulary(write_json(own(names=("PERSON", "Cell_ Phone"))))
    assert vocabulary.objects == coco_objects()
    own_list = read_vocabulary(write_json(own(names=("Person", "mug"))))
    assert own_list.objects == ("person", "mug") and own_list.person == 0


@pytest.mark.parametrize("key", ["categories", "verb_categories"])
@pytest.mark.parametrize("other", ["HOLD", "hold_", " hold", "Hold"])
def test_names_that_mean_the_same(write_json, key, other):
    data = own()
    data[key] += [{"id": 7, "name": "hold"}, {"id": 8, "name": other}]
    if key == "verb_categories":
        del data[key][1]
    with pytest.raises(DataFormatError, match=r"case, spaces and underscores.* 'hold'"):
        load_hoi_json(write_json(data))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("mug", ""), ("birthday cake", "cake"), ("Cell-phone", "cell phone"), ("bicycel", "bicycle"),
     ("hotdog", "hot dog"), ("red wine glass", "wine glass"), ("", "")],
)  # fmt: skip
def test_similar_class(name, meant):
    assert similar_class(name, coco_objects()) == meant
