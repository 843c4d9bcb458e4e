from __future__ import annotations

import copy
import json
import os
import time

import numpy as np
import pytest
from data_forms import pair_set, struct, struct_array
from scipy.io import savemat

from hoi_d2.data.datasets import hico_det
from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.datasets.qpic_form import counts_from_one
from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.data.vocabulary import hico_det_test_images_without_pairs, hico_det_vocabulary

PERSON, BICYCLE = 1, 2  # COCO's ids


def qpic_record(**changes) -> dict:
    """A person who rides and sits on a bicycle."""
    record = {
        "file_name": "HICO_train2015_00000007.jpg",
        "img_id": 7,
        "annotations": [
            {"bbox": [10, 20, 30, 60], "category_id": PERSON},
            {"bbox": [0, 40, 50, 80], "category_id": BICYCLE},
        ],
        "hoi_annotation": [
            {"subject_id": 0, "object_id": 1, "category_id": 77, "hoi_category_id": 19},
            {"subject_id": 0, "object_id": 1, "category_id": 88, "hoi_category_id": 20},
        ],
    }
    return record | changes


@pytest.mark.parametrize("data", [[], {"annotation": [], "filenames": [], "correspondence": []}])
def test_empty_file(write_json, data):
    assert load_hico_det(write_json(data)) == []


def test_qpic_form_is_normalised(write_json):
    (record,) = load_hico_det(write_json([qpic_record()]), "root")
    vocabulary = hico_det_vocabulary()
    assert record["file_name"] == "root/HICO_train2015_00000007.jpg"
    assert record["image_id"] == 7
    # 0-based inclusive pixels 10..30 cover [10, 31) of a continuous axis.
    assert [e["bbox"] for e in record["annotations"]] == [[10, 20, 31, 61], [0, 40, 51, 81]]
    assert [vocabulary.objects[e["category_id"]] for e in record["annotations"]] == [
        "person",
        "bicycle",
    ]
    names = [vocabulary.hoi_name(p["hoi"]) for p in record["hoi_annotations"]]
    assert names == ["ride bicycle", "sit_on bicycle"]
    assert {(p["human"], p["object"]) for p in record["hoi_annotations"]} == {(0, 1)}


@pytest.mark.parametrize(
    ("smallest", "with_hoi_ids", "expected"),
    [
        (0, True, False),
        (0, False, False),
        (1, True, True),
        (1, False, True),
        (5, True, False),  # neither 0 nor 1: what else the file has decides
        (5, False, True),
    ],
)
def test_where_counting_starts(write_json, smallest, with_hoi_ids, expected):
    record = qpic_record()
    record["annotations"][1]["bbox"][0] = smallest
    if not with_hoi_ids:
        for pair in record["hoi_annotation"]:
            del pair["hoi_category_id"]
    assert counts_from_one([record]) is expected
    (loaded,) = load_hico_det(write_json([record]))
    x0, _, x1, _ = loaded["annotations"][0]["bbox"]
    assert (x0, x1) == ((9, 30) if expected else (10, 31))
    (given,) = load_hico_det(write_json([record]), one_based=not expected)
    assert given["annotations"][0]["bbox"] != loaded["annotations"][0]["bbox"]


BROKEN = [
    ("not a list", {"annotations": 3}, "annotations"),
    ("box", {"annotations": [{"bbox": [9, 9, 1, 1], "category_id": 1}]}, "annotations[0].bbox"),
    ("NaN", {"annotations": [{"bbox": [float("nan"), 9, 1, 1], "category_id": 1}]}, "bbox"),
    ("class", {"annotations": [{"bbox": [1, 1, 9, 9], "category_id": 12}]}, "category_id"),
    ("name", {"file_name": ""}, "file_name"),
    ("id", {"img_id": "7"}, "img_id"),
    ("size", {"width": 0, "height": 3}, "width, height"),
    (
        "index",
        {"hoi_annotation": [{"subject_id": 2, "object_id": 1, "category_id": 77}]},
        "subject",
    ),
    (
        "bool",
        {"hoi_annotation": [{"subject_id": True, "object_id": 1, "category_id": 9}]},
        "subject",
    ),
    (
        "verb",
        {"hoi_annotation": [{"subject_id": 0, "object_id": 1, "category_id": 118}]},
        "category",
    ),
    ("human", {"hoi_annotation": [{"subject_id": 1, "object_id": 0, "category_id": 77}]}, "person"),
    ("no hoi", {"hoi_annotation": [{"subject_id": 0, "object_id": 1, "category_id": 24}]}, "600"),
    (
        "other hoi",
        {
            "hoi_annotation": [
                {"subject_id": 0, "object_id": 1, "category_id": 77, "hoi_category_id": 5}
            ]
        },
        "hoi_category_id",
    ),
]


@pytest.mark.parametrize(("changes", "field"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_broken_qpic_record_is_named(write_json, changes, field):
    file = write_json([qpic_record(), qpic_record(**changes)])
    with pytest.raises(DataFormatError) as error:
        load_hico_det(file)
    message = str(error.value)
    assert "record 1" in message
    assert "record 0" not in message
    assert field in message
    assert str(file) in message


def test_every_broken_record_is_reported(write_json):
    records = [qpic_record(img_id=None) for _ in range(20)]
    with pytest.raises(DataFormatError) as error:
        load_hico_det(write_json(records))
    assert len(error.value.problems) == 20
    assert "12 more" in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "[", "nonsense", '{"a": 1}', "3", "null", "[" * 100_000, "9" * 6000]
)
def test_file_of_another_kind(tmp_path, text):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(DataFormatError, match=r"x\.json"):
        load_hico_det(file)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        load_hico_det(tmp_path / "nowhere.json")


@pytest.mark.parametrize("age", [0, 3600])
def test_a_caller_cannot_change_what_the_next_one_gets(write_json, age):
    """Whether it comes from the file, which is new, or from memory."""
    file = write_json([qpic_record()])
    os.utime(file, (time.time() - age,) * 2)
    first = load_hico_det(file)
    before = copy.deepcopy(first)
    first[0]["annotations"].clear()
    assert load_hico_det(file) == before
    file.write_text("[]")
    assert load_hico_det(file) == []  # a changed file is read again


def test_a_file_is_read_once(write_json, monkeypatch):
    file = write_json([qpic_record()])
    os.utime(file, (time.time() - 3600,) * 2)
    first = load_hico_det(file)
    monkeypatch.setattr(hico_det, "read_hico_det", None)
    assert load_hico_det(file) == first


def test_upt_form_refuses_another_class_order(write_json):
    data = {"filenames": [], "annotation": [], "correspondence": [], "objects": ["person"]}
    with pytest.raises(DataFormatError, match="alphabetical"):
        load_hico_det(write_json(data))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hoi": [1, 2]}, "same length"),
        ({"object": [80]}, r"object\[0\]"),
        ({"hoi": [3]}, r"hoi\[0\]"),
        ({"boxes_h": [[1, 2, 3]]}, r"boxes_h\[0\]"),
    ],
)
def test_broken_upt_record_is_named(write_json, changes, field):
    sound = {"boxes_h": [[1, 1, 5, 5]], "boxes_o": [[2, 2, 9, 9]], "hoi": [0], "object": [0]}
    data = {"filenames": ["HICO_test2015_00000003.jpg"], "correspondence": []}
    data["annotation"] = [sound | {"verb": [4]} | changes]
    with pytest.raises(DataFormatError, match=rf"record 0 .*00000003.*{field}"):
        load_hico_det(write_json(data))


def _mat_boxes(boxes: list[list[float]]) -> np.ndarray:
    return struct_array([struct(x1=b[0], x2=b[2], y1=b[1], y2=b[3]) for b in boxes])


def _mat_image(name: str, size: list[int], annotation: dict) -> np.ndarray:
    """One element of `bbox_test` from one annotation of the UPT form, a connection each pair."""
    hois = []
    for hoi in sorted(set(annotation["hoi"])):
        rows = [i for i, h in enumerate(annotation["hoi"]) if h == hoi]
        hois.append(
            struct(
                id=hoi + 1,
                bboxhuman=_mat_boxes([annotation["boxes_h"][i] for i in rows]),
                bboxobject=_mat_boxes([annotation["boxes_o"][i] for i in rows]),
                connection=np.array([[k + 1, k + 1] for k in range(len(rows))], dtype=np.uint8),
                invis=0,
            )
        )
    # An HOI that is in the image without a visible pair.
    nothing = np.zeros((0, 0))
    hois.append(struct(id=1, bboxhuman=nothing, bboxobject=nothing, connection=nothing, invis=1))
    shape = struct(width=size[0], height=size[1], depth=3)
    return struct(filename=name, size=shape, hoi=struct_array(hois))


def _write_mat(file, images: list[np.ndarray]) -> None:
    savemat(file, {"bbox_test": struct_array(images)}, do_compression=True)


def test_official_mat_equals_upt_form(test_data, tmp_path, write_json):
    full = json.loads((test_data / "hico_det/instances_test2015.json").read_text())
    chosen = [*range(60), full["empty"][0]]
    keys = ("annotation", "filenames", "size")
    upt = {k: [full[k][i] for i in chosen] for k in keys} | {"correspondence": []}
    rows = list(zip(upt["filenames"], upt["size"], upt["annotation"]))
    file = tmp_path / "anno_bbox.mat"
    _write_mat(file, [_mat_image(*row) for row in rows])
    official = load_hico_det(file, "root", split="test")
    expected = load_hico_det(write_json(upt), "root")
    assert len(official) == 61
    assert len(pair_set(expected)) > 150
    assert pair_set(official) == pair_set(expected)
    head = ("file_name", "image_id", "width", "height")
    assert [[r[k] for k in head] for r in official] == [[r[k] for k in head] for r in expected]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hoi": [700], "verb": [0], "object": [0]}, "id"),
        ({"boxes_h": [[9, 9, 1, 1]]}, "bboxhuman"),
    ],
)
def test_broken_mat_record_is_named(tmp_path, changes, field):
    sound = {"boxes_h": [[1, 1, 5, 5]], "boxes_o": [[2, 2, 9, 9]], "hoi": [0]}
    file = tmp_path / "anno_bbox.mat"
    _write_mat(file, [_mat_image("HICO_test2015_00000003.jpg", [9, 9], sound | changes)])
    with pytest.raises(DataFormatError, match=rf"record 0 .*00000003.*hoi\(1\).*{field}"):
        load_hico_det(file, split="test")


def test_mat_needs_a_split_and_must_be_one(tmp_path):
    file = tmp_path / "anno_bbox.mat"
    file.write_bytes(b"MATLAB 5.0 MAT-file" + b"\0" * 200)
    with pytest.raises(DataFormatError, match="split"):
        load_hico_det(file)
    with pytest.raises(DataFormatError, match=r"anno_bbox\.mat"):
        load_hico_det(file, split="train")


def test_real_test_set_is_the_same_in_both_forms(test_data):
    qpic = load_hico_det(test_data / "hico_det/test_hico.json")
    upt = load_hico_det(test_data / "hico_det/instances_test2015.json")
    assert (len(qpic), len(upt)) == (9546, 9658)
    assert sum(len(r["hoi_annotations"]) for r in qpic) == 33405
    assert len(pair_set(qpic)) == 33405
    assert pair_set(qpic) == pair_set(upt)
    extra = {r["image_id"] for r in upt} - {r["image_id"] for r in qpic}
    assert extra == set(hico_det_test_images_without_pairs())


def test_real_training_set_is_read_once(test_data, monkeypatch):
    """The times are printed, not asserted: machines differ."""
    file = test_data / "hico_det/trainval_hico.json"
    start = time.process_time()
    records = load_hico_det(file, "first")  # an image root that no other test asks for
    first = time.process_time() - start
    assert len(records) == 37633
    assert sum(len(r["hoi_annotations"]) for r in records) == 117871
    assert min(min(e["bbox"]) for r in records for e in r["annotations"]) == 0
    monkeypatch.setattr(hico_det, "read_hico_det", None)  # whatever comes now comes from memory
    start = time.process_time()
    remembered = load_hico_det(file, "first")
    again = time.process_time() - start
    assert remembered == records
    print(f"\nHICO-DET train: {first:.2f} s of CPU, again {again:.2f} s")
