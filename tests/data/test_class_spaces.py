"""Class spaces and the mapping between them, on every name."""

from __future__ import annotations

import itertools

import pytest
import torch

from hoi_d2.data.class_spaces import (
    UNUSED,
    class_map,
    class_space,
    likely_order_of_80,
    missing_classes,
    normal_name,
)
from hoi_d2.data.vocabulary import coco_category_ids, coco_objects, hico_object_order

SPACES = ("coco_80", "coco_91", "hico_80", "vcoco_81")


@pytest.mark.parametrize(("source", "target"), itertools.product(SPACES, SPACES))
def test_every_name_is_found_in_every_space(source: str, target: str) -> None:
    names, wanted = class_space(source), class_space(target)
    rows = class_map(names, wanted).tolist()
    assert len(rows) == len(names)
    for name, row in zip(names, rows):
        assert (row == -1) if name == UNUSED else (wanted[row] == name)
    assert sorted(row for row in rows if row >= 0) == [
        i for i, name in enumerate(wanted) if name != UNUSED
    ]
    assert missing_classes(names, wanted) == []


def test_the_spaces_are_what_their_owners_say() -> None:
    coco_91, hico = class_space("coco_91"), class_space("hico_80")
    assert [i for i, n in enumerate(coco_91) if n != UNUSED] == list(coco_category_ids())
    assert (coco_91[1], coco_91[90], coco_91[0]) == ("person", "toothbrush", UNUSED)
    assert (hico[0], hico[49], hico[79]) == ("airplane", "person", "zebra")
    assert list(hico) == sorted(hico, key=lambda name: name.replace(" ", "_"))
    assert class_space("vcoco_81")[1:] == coco_objects() == class_space("coco_80")


def test_real_files_have_the_same_names(real_data) -> None:
    import json

    hico = json.loads((real_data / "hico_det/instances_test2015.json").read_text())["objects"]
    vcoco = json.loads((real_data / "vcoco/instances_vcoco_test.json").read_text())["objects"]
    assert class_map(hico, class_space("hico_80")).tolist() == list(range(80))
    assert class_map(vcoco, class_space("vcoco_81")).tolist()[1:] == list(range(1, 81))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ""),
        ("person", "person"),
        ("dining_table", "dining table"),
        ("Motorbike", "motorcycle"),
        ("tvmonitor", "tv"),
        ("sofa", "couch"),
        ("hair  dryer", "hair drier"),
    ],
)
def test_one_spelling(name: str, expected: str) -> None:
    assert normal_name(name) == expected


def test_unknown_classes_and_doubles() -> None:
    assert class_map([], ["a"]).tolist() == [] and class_map(["a"], []).tolist() == [-1]
    assert class_map(["cat", "unicorn", UNUSED], ["dog", "cat"]).tolist() == [1, -1, -1]
    assert missing_classes(["cat"], ["dog", "cat", UNUSED]) == ["dog"]
    with pytest.raises(ValueError, match="twice: couch"):
        class_map(["sofa", "couch"], ["couch"])
    with pytest.raises(KeyError, match="coco_80, coco_91"):
        class_space("coco_79")


def test_order_is_told_by_likeness_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    starts = torch.tensor([1, 9, 14, 24, 29, 39, 46, 56, 62, 68, 73])
    group = torch.bucketize(torch.arange(80), starts, right=True)
    order = torch.as_tensor(hico_object_order())
    for _ in range(20):
        noise = torch.randn(80, 64, generator=generator)
        rows = noise + 0.7 * torch.randn(12, 64, generator=generator)[group]
        assert likely_order_of_80(rows) == "coco_80"
        assert likely_order_of_80(rows[order]) == "hico_80"
        assert likely_order_of_80(noise) == ""
        assert likely_order_of_80(rows[torch.randperm(80, generator=generator)]) == ""
