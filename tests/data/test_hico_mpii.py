from __future__ import annotations

import numpy as np
import pytest
from data_forms import struct, struct_array
from scipy.io import savemat

from hoi_d2.data.datasets.hico import load_hico
from hoi_d2.data.datasets.mpii import load_mpii, mpii_vocabulary
from hoi_d2.data.datasets.records import DataFormatError


def cell(values: list) -> np.ndarray:
    array = np.empty((len(values), 1), dtype=object)
    array[:, 0] = values
    return array


@pytest.fixture
def anno_mat(tmp_path):
    labels = np.full((600, 3), np.nan)
    labels[:4, 0] = [1, 0, -1, np.nan]
    names = cell([f"HICO_test2015_{i:08d}.jpg" for i in (4, 9, 2)])

    def write(**changes):
        file = tmp_path / "anno.mat"
        savemat(file, {"anno_test": labels, "list_test": names} | changes)
        return file

    return write


def test_hico_labels(anno_mat):
    records = load_hico(anno_mat(), "root", split="test")
    assert [r["image_id"] for r in records] == [4, 9, 2]  # the file's order
    assert records[0]["file_name"] == "root/HICO_test2015_00000004.jpg"
    assert records[0]["image_labels"].dtype == np.int8
    assert records[0]["image_labels"][:4].tolist() == [1, 0, -1, -2]
    assert (records[1]["image_labels"] == -2).all()
    assert records[0]["annotations"] == records[0]["hoi_annotations"] == []


def test_hico_without_images(anno_mat):
    file = anno_mat(anno_test=np.zeros((600, 0)), list_test=np.empty((0, 1), dtype=object))
    assert load_hico(file, split="test") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"anno_test": np.full((600, 3), 7.0)}, r"anno_test\(1,1\) = 7.0"),
        ({"anno_test": np.zeros((599, 3))}, "600 x N"),
        ({"list_test": cell(["a_1.jpg"])}, "cell of 3"),
        ({"list_test": cell(["a_1.jpg", "b.jpg", "c_3.jpg"])}, r"record 1 \(b\.jpg\)"),
    ],
)
def test_broken_hico_file_is_named(anno_mat, changes, message):
    with pytest.raises(DataFormatError, match=message):
        load_hico(anno_mat(**changes), split="test")


def test_hico_split_must_be_there(anno_mat):
    with pytest.raises(DataFormatError, match="anno_train"):
        load_hico(anno_mat(), split="train")
    with pytest.raises(DataFormatError, match="split"):
        load_hico(anno_mat(), split="val")


@pytest.fixture
def release_mat(tmp_path):
    """MPII's structure: five images, of which 0, 1 and 3 are training images with a label."""

    def write(**changes):
        acts = [(7, "skiing"), (3, "yoga"), (-1, ""), (7, "skiing"), (5, "golf")]
        images = [
            struct(image=struct(name=f"0{i}5.jpg"), annorect=np.zeros((0, 0))) for i in range(5)
        ]
        empty = np.zeros((0, 0))
        act = [struct(cat_name="sports", act_name=n or empty, act_id=i) for i, n in acts]
        fields = {
            "annolist": struct_array(images),
            "img_train": np.array([[1, 1, 1, 1, 0]]),
            "act": struct_array(act).reshape(-1, 1),
        }
        file = tmp_path / "mpii_human_pose_v1_u12_1.mat"
        savemat(file, {"RELEASE": struct(**(fields | changes))})
        return file

    return write


def test_mpii_official(release_mat):
    file = release_mat()
    records = load_mpii(file, "root")
    assert mpii_vocabulary(file).verbs == ("yoga", "skiing")  # by act_id; `golf` is withheld
    assert [r["file_name"] for r in records] == ["root/005.jpg", "root/015.jpg", "root/035.jpg"]
    assert [r["image_id"] for r in records] == [5, 15, 35]
    assert [r["image_labels"].tolist() for r in records] == [[-1, 1], [1, -1], [-1, 1]]


def test_mpii_prepared_form_says_the_same(release_mat, write_json):
    images = [("005.jpg", 1), ("015.jpg", 0), ("035.jpg", 1)]
    prepared = {
        "activities": ["yoga", "skiing"],
        "images": [{"file_name": n, "activity": a} for n, a in images],
    }
    for one, other in zip(load_mpii(release_mat()), load_mpii(write_json(prepared))):
        assert np.array_equal(one.pop("image_labels"), other.pop("image_labels"))
        assert one == other


def test_mpii_parts(release_mat, tmp_path):
    file, names = release_mat(), tmp_path / "val.txt"
    names.write_text("015.jpg\n\n")
    assert [r["image_id"] for r in load_mpii(file, split="val", val_images=names)] == [15]
    assert [r["image_id"] for r in load_mpii(file, split="train", val_images=names)] == [5, 35]
    with pytest.raises(DataFormatError, match="list of the val images"):
        load_mpii(file, split="val")
    names.write_text("045.jpg\n")
    with pytest.raises(DataFormatError, match=r"045\.jpg"):
        load_mpii(file, split="val", val_images=names)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "activities and images"),
        ({"activities": ["a"], "images": [{"file_name": "1.jpg", "activity": 1}]}, r"images\[0\]"),
        ({"activities": ["a"], "images": [{"file_name": "x.jpg", "activity": 0}]}, r"x\.jpg"),
    ],
)
def test_broken_mpii_file_is_named(write_json, data, message):
    with pytest.raises(DataFormatError, match=message):
        load_mpii(write_json(data))


def test_broken_mpii_release_is_named(release_mat):
    with pytest.raises(DataFormatError, match="same length"):
        load_mpii(release_mat(img_train=np.array([[1, 1]])))
