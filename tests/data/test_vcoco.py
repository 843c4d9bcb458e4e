from __future__ import annotations

import json
from collections import Counter

import pytest
from data_forms import pair_set

from hoi_d2.data.datasets.odgt_form import PPDM_VERBS
from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.data.datasets.vcoco import load_vcoco, read_image_ids
from hoi_d2.data.vocabulary import vcoco_vocabulary

NAME = "COCO_val2014_000000000042.jpg"
VERBS = vcoco_vocabulary().verbs
PERSON, KNIFE, CAKE = 1, 49, 61  # COCO's ids
BOXES = {11: [1.5, 2.0, 10.0, 20.0], 12: [4.0, 5.0, 6.0, 1.0], 13: [7.0, 8.0, 9.0, 2.25]}  # XYWH
CATEGORIES = {11: PERSON, 12: KNIFE, 13: CAKE}

# One person stands, cuts a cake without a visible knife, and looks at something invisible.
EXPECTED = {("stand", -1), ("cut_instr", -1), ("cut_obj", 55), ("look_obj", -1)}


def xyxy(box: list[float]) -> list[float]:
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def official() -> tuple[list[dict], dict]:
    """Official labels with one person, and the COCO file that they refer to."""

    def action(name: str, roles: list[str], objects: list[int], label: int = 1) -> dict:
        columns = {"image_id": [42], "ann_id": [11], "label": [label]}
        return {"action_name": name, "role_name": roles, "role_object_id": objects, **columns}

    labels = [
        action("stand", ["agent"], [11]),
        action("cut", ["agent", "instr", "obj"], [11, 0, 13]),
        action("look", ["agent", "obj"], [11, 0]),
        action("run", ["agent"], [11], label=0),
    ]
    coco = {
        "images": [
            {"id": 42, "file_name": NAME, "width": 64, "height": 48},
            {"id": 43, "file_name": "COCO_val2014_000000000043.jpg", "width": 64, "height": 48},
        ],
        "annotations": [
            {"id": i, "image_id": 42, "bbox": BOXES[i], "category_id": CATEGORIES[i]} for i in BOXES
        ],
    }
    return labels, coco


def qpic() -> list[dict]:
    pairs = [("stand", -1), ("cut_instr", -1), ("cut_obj", 2), ("look_obj", -1)]
    return [
        {
            "file_name": NAME,
            "annotations": [
                {"bbox": xyxy(BOXES[i]), "category_id": CATEGORIES[i]} for i in sorted(BOXES)
            ],
            "hoi_annotation": [
                {"subject_id": 0, "object_id": o, "category_id": VERBS.index(v)} for v, o in pairs
            ],
        }
    ]


def odgt_line() -> dict:
    tags = {11: "person", 12: "knife", 13: "cake"}
    return {
        "file_name": NAME,
        "width": 64,
        "height": 48,
        "gtboxes": [{"box": BOXES[i], "tag": tags[i]} for i in sorted(BOXES)],
        "hoi": [{"subject_id": 0, "object_id": 2, "category_id": PPDM_VERBS.index("cut_obj")}],
    }


def upt() -> dict:
    return {
        "action_to_object": [[1], [61]],
        "classes": ["hold obj", "cut obj"],
        "annotations": [
            {
                "file_name": NAME,
                "boxes_h": [xyxy(BOXES[11])],
                "boxes_o": [xyxy(BOXES[13])],
                "actions": [1],
                "objects": [56],
            }
        ],
    }


def facts(records: list[dict]) -> set[tuple[str, int]]:
    """{(verb, object class)} after checking the only person's box."""
    (record,) = records
    found = set()
    for pair in record["hoi_annotations"]:
        entities, target = record["annotations"], pair["object"]
        assert entities[pair["human"]]["bbox"] == [1.5, 2.0, 11.5, 22.0]
        if target >= 0:
            assert entities[target]["bbox"] == [7.0, 8.0, 16.0, 10.25]
        found.add((VERBS[pair["verb"]], entities[target]["category_id"] if target >= 0 else -1))
    return found


def test_empty_file(write_json):
    assert load_vcoco(write_json([])) == []


def test_official_and_qpic_form_say_the_same(write_json):
    labels, coco = official()
    files = write_json(labels, "vcoco_test.json"), write_json(coco, "instances.json")
    records = load_vcoco(files[0], "root", coco_annotations=files[1])
    assert facts(records) == EXPECTED
    assert facts(load_vcoco(write_json(qpic()))) == EXPECTED
    head = {k: records[0][k] for k in ("file_name", "image_id", "width", "height")}
    assert head == {"file_name": f"root/{NAME}", "image_id": 42, "width": 64, "height": 48}
    assert len(records[0]["annotations"]) == 3  # the knife is there although nobody uses it


def test_odgt_and_upt_form(tmp_path, write_json):
    file = tmp_path / "x.odgt"
    file.write_text(json.dumps(odgt_line()) + "\n\n")
    assert facts(load_vcoco(file)) == {("cut_obj", 55)}
    assert facts(load_vcoco(write_json(upt()))) == {("cut_obj", 55)}


def test_official_form_needs_coco(write_json):
    with pytest.raises(DataFormatError, match="prepare-vcoco"):
        load_vcoco(write_json(official()[0]))


def broken(form: str, change) -> object:
    """A form with one thing changed in place by `change`."""
    data = {"official": official()[0], "qpic": qpic(), "upt": upt(), "odgt": odgt_line()}[form]
    change(data)
    return data


BROKEN = [
    ("official", lambda d: d[1]["role_object_id"].pop(), "action 1 (cut)"),
    ("official", lambda d: d[1].update(role_object_id=[11, 0, 99]), "role_object_id[2][0]"),
    ("official", lambda d: d[1].update(role_object_id=[12, 0, 13]), "person"),
    ("official", lambda d: d[2].update(role_object_id=[0, 0]), "role_object_id[0][0]"),
    ("official", lambda d: d[0].update(image_id=[41]), "image_id[0]"),
    ("official", lambda d: d[0].update(action_name="fly"), "26 actions"),
    ("official", lambda d: d[0].update(label=[2]), "label[0]"),
    ("qpic", lambda d: d[0].update(file_name="a.jpg"), "file_name"),
    ("qpic", lambda d: d[0]["annotations"][1].update(category_id=12), "annotations[1]"),
    ("qpic", lambda d: d[0]["hoi_annotation"][0].update(object_id=-2), "object_id"),
    ("qpic", lambda d: d[0]["hoi_annotation"][0].update(subject_id=1), "knife"),
    ("upt", lambda d: d["annotations"][0].update(objects=[0]), "objects[0]"),
    ("upt", lambda d: d["annotations"][0].update(actions=[0, 1]), "same length"),
    ("upt", lambda d: d.update(classes=["fly"]), "classes"),
    ("odgt", lambda d: d["gtboxes"][0].update(tag="wolf"), "gtboxes[0].tag"),
    ("odgt", lambda d: d["gtboxes"][1].update(box=[1, 2, -3, 4]), "gtboxes[1].box"),
    ("odgt", lambda d: d.update(width=1.5), "width"),
    ("odgt", lambda d: d["hoi"][0].update(category_id=29), "hoi[0].category_id"),
]


@pytest.mark.parametrize(
    ("form", "change", "field"), BROKEN, ids=[f"{b[0]}-{b[2]}" for b in BROKEN]
)
def test_broken_record_is_named(write_json, form, change, field):
    file = write_json(broken(form, change), "broken.json")
    coco = [write_json(official()[1], "coco.json")] if form == "official" else ()
    with pytest.raises(DataFormatError) as error:
        load_vcoco(file, coco_annotations=coco)
    assert field in str(error.value)
    assert "broken.json" in str(error.value)


def test_image_ids_select_and_order(tmp_path, write_json):
    records = [{**qpic()[0], "file_name": f"COCO_val2014_{i:012d}.jpg"} for i in (42, 43, 44)]
    file, ids = write_json(records), tmp_path / "x.ids"
    ids.write_text("44\n42\n")
    assert [r["image_id"] for r in load_vcoco(file, image_ids=ids)] == [44, 42]
    assert [r["image_id"] for r in load_vcoco(file, image_ids=[43])] == [43]
    with pytest.raises(DataFormatError, match="45"):
        load_vcoco(file, image_ids=[45])
    ids.write_text("44\nx\n")
    with pytest.raises(DataFormatError, match="line 2"):
        read_image_ids(ids)


def visible(records: list[dict]) -> set[tuple]:
    """What the UPT form holds: visible objects, without `point`."""
    point = VERBS.index("point_instr")
    return {p for p in pair_set(records, 1) if p[2] is not None and p[4] != point}


@pytest.mark.parametrize(("part", "pairs"), [("trainval", 13817), ("test", 12402)])
def test_real_odgt_is_upt_form_plus_point(test_data, part, pairs):
    odgt = load_vcoco(test_data / f"vcoco/vcoco_{part}_retag_hoitr.odgt")
    other = load_vcoco(test_data / f"vcoco/instances_vcoco_{part}.json")
    assert visible(odgt) == visible(other)
    assert len(visible(other)) == sum(len(r["hoi_annotations"]) for r in other) == pairs
    assert sum(len(r["hoi_annotations"]) for r in odgt) - pairs == 21  # `point`


def test_real_official_with_boxes_is_in_the_other_forms(test_data):
    """The reference's COCO boxes are V-COCO's, and 5 % of its persons lack V-COCO labels."""
    folder = test_data / "reference/vcoco_train"
    labels, coco = folder / "vcoco_train.json", folder / "instances_vcoco_all_2014.json"
    ids = folder / "vcoco_train.ids"
    records = load_vcoco(labels, coco_annotations=coco, image_ids=ids)
    assert len(records) == 2260
    persons = {p[:2] for p in pair_set(records, 1)}
    upt_form = load_vcoco(test_data / "vcoco/instances_vcoco_train.json")
    of_these = {p for p in visible(upt_form) if p[:2] in persons}
    assert visible(records) == of_these
    assert len(of_these) > 6000


@pytest.mark.parametrize(("part", "pairs"), [("train", 6400), ("val", 7417)])
def test_real_official_labels_count_as_the_upt_form(test_data, write_json, part, pairs):
    """The official labels hold no boxes: made-up ones, and the same (image, verb) counts."""
    file = test_data / f"vcoco/vcoco_{part}.json"
    labels, boxes = json.loads(file.read_text()), {}
    for action in labels:
        count = len(action["image_id"])
        for i, ident in enumerate(action["role_object_id"]):
            if ident:  # the first column holds persons
                category = PERSON if i < count else CAKE
                boxes.setdefault(ident, (action["image_id"][i % count], category))
    coco = {
        "images": [
            {"id": i, "file_name": f"COCO_train2014_{i:012d}.jpg", "width": 9, "height": 9}
            for i in sorted(set(labels[0]["image_id"]))
        ],
        "annotations": [
            {"id": ident, "image_id": image, "category_id": category, "bbox": [1, 1, 2, 2]}
            for ident, (image, category) in boxes.items()
        ],
    }
    records = load_vcoco(file, coco_annotations=write_json(coco))

    def counts(some: list[dict]) -> Counter:
        point = VERBS.index("point_instr")
        return Counter(
            (r["image_id"], p["verb"])
            for r in some
            for p in r["hoi_annotations"]
            if p["object"] >= 0 and p["verb"] != point
        )

    expected = counts(load_vcoco(test_data / f"vcoco/instances_vcoco_{part}.json"))
    assert counts(records) == expected
    assert sum(expected.values()) == pairs


@pytest.mark.parametrize(("part", "images"), [("train", 2533), ("val", 2867), ("test", 4946)])
def test_real_split_lists(test_data, part, images):
    ids = read_image_ids(test_data / f"vcoco/splits/vcoco_{part}.ids")
    file = test_data / f"vcoco/instances_vcoco_{part}.json"
    assert [r["image_id"] for r in load_vcoco(file, image_ids=ids)] == ids
    assert len(ids) == images
