from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from hoi_d2.config.load import load_config
from hoi_d2.data.builtin import (
    MissingDatasetError,
    builtin_splits,
    register_all,
    register_hoi_instances,
    register_own_datasets,
)
from hoi_d2.data.image_sizes import add_image_sizes, write_image_sizes

QPIC = "HICO_test2015_00000001.jpg"


def qpic_hico(name: str = QPIC) -> list[dict]:
    entities = [
        {"bbox": [1, 1, 5, 5], "category_id": 1},
        {"bbox": [2, 2, 6, 6], "category_id": 2},
    ]
    pairs = [{"subject_id": 0, "object_id": 1, "category_id": 77}]
    return [{"file_name": name, "annotations": entities, "hoi_annotation": pairs}]


def upt_hico() -> dict:
    pair = {"boxes_h": [[1, 1, 5, 5]], "boxes_o": [[2, 2, 6, 6]]}
    pair |= {"hoi": [18], "object": [9], "verb": [76]}
    return {"correspondence": [], "filenames": [QPIC], "annotation": [pair], "size": [[8, 6]]}


def upt_vcoco(name: str = "COCO_val2014_000000000007.jpg") -> dict:
    image = {"file_name": name, "boxes_h": [[0, 0, 2, 2]], "boxes_o": [[1, 1, 4, 4]]}
    image |= {"actions": [0], "objects": [2]}
    return {"action_to_object": [[1]], "classes": ["hold obj"], "annotations": [image]}


def put(root: Path, path: str, data: object) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data))
    return file


def put_image(root: Path, path: str, size: tuple[int, int] = (8, 6)) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(file)


@pytest.fixture(autouse=True)
def registered_as_before() -> Iterator[None]:
    """Other tests find the built-in splits under DETECTRON2_DATASETS again."""
    yield
    register_all()


def test_registration_reads_nothing(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise AssertionError("a file was opened")

    for name in ("read_text", "read_bytes", "open"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr("builtins.open", refuse)
    register_all(tmp_path)
    names = DatasetCatalog.list()
    assert {"hico_det_train", "hico_det_test", "hico_test", "mpii_val", "vcoco_trainval"} <= {
        *names
    }
    assert {"hico_det_train_uv", "hico_det_test_rf_uc"} <= {*names}


@pytest.mark.parametrize("name", [s.name for s in builtin_splits()])
def test_missing_file_is_named_with_its_remedy(tmp_path, name):
    register_all(tmp_path)
    with pytest.raises(MissingDatasetError) as error:
        DatasetCatalog.get(name)
    message = str(error.value)
    assert name in message
    assert str(tmp_path) in message
    assert "DETECTRON2_DATASETS" in message
    remedies = {"coco": "cocodataset.org", "stanford40": "Stanford40_ImageSplits.zip"}
    assert remedies.get(name.partition("_")[0], "hoi-d2 data prepare-") in message


def test_missing_file_of_default_root(monkeypatch):
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    register_all()
    assert MetadataCatalog.get("vcoco_test").json_file.startswith("datasets/")


HICO_TREES = [
    ("hico_20160224_det/annotations/test_hico.json", "hico_20160224_det/images/test2015", False),
    ("hicodet/instances_test2015.json", "hicodet/hico_20160224_det/images/test2015", True),
    ("hico_20160224_det/instances_test2015.json", "hico_20160224_det/images/test2015", True),
]


@pytest.mark.parametrize(("annotations", "images", "is_upt"), HICO_TREES)
def test_hico_det_trees(tmp_path, annotations, images, is_upt):
    file = put(tmp_path, annotations, upt_hico() if is_upt else qpic_hico())
    put_image(tmp_path, f"{images}/{QPIC}")
    register_all(tmp_path)
    (record,) = DatasetCatalog.get("hico_det_test")
    assert os.path.isfile(record["file_name"])
    assert (record["width"], record["height"]) == (8, 6)
    assert record["hoi_annotations"][0]["hoi"] == 18
    metadata = MetadataCatalog.get("hico_det_test")
    assert metadata.json_file == str(file)
    assert metadata.image_root == str(tmp_path / images)
    assert metadata.evaluator_type == "hico_det"
    assert len(metadata.rare_hois) == 138
    assert len(metadata.thing_classes) == 80


def test_a_tenth_of_the_training_images_is_held_out(tmp_path):
    images = [qpic_hico(f"HICO_train2015_{i:08d}.jpg")[0] for i in range(1, 21)]
    for image in images:
        image["hoi_annotation"][0]["hoi_category_id"] = 19
    put(tmp_path, "hico_20160224_det/annotations/trainval_hico.json", images)
    register_all(tmp_path)
    parts = [DatasetCatalog.get(f"hico_det_train{part}") for part in ("", "_90", "_10")]
    assert [len(part) for part in parts] == [20, 18, 2]
    whole, rest, held_out = ([record["image_id"] for record in part] for part in parts)
    assert sorted(rest + held_out) == whole


VCOCO_TREES = [
    ("vcoco/instances_vcoco_test.json", "vcoco/mscoco2014/val2014/COCO_val2014_000000000007.jpg"),
    ("vcoco/instances_vcoco_test.json", "coco/val2014/COCO_val2014_000000000007.jpg"),
    ("v-coco/instances_vcoco_test.json", "coco/images/val2014/COCO_val2014_000000000007.jpg"),
    ("v-coco/annotations/test_vcoco.json", "v-coco/images/val2014/COCO_val2014_000000000007.jpg"),
    ("vcoco/instances_vcoco_test.json", "coco/train2017/000000000007.jpg"),
    ("vcoco/instances_vcoco_test.json", "coco/val2017/000000000007.jpg"),
]


@pytest.mark.parametrize(("annotations", "image"), VCOCO_TREES)
def test_vcoco_trees(tmp_path, annotations, image):
    put(tmp_path, annotations, upt_vcoco())
    put_image(tmp_path, image)
    (tmp_path / "coco/train2017").mkdir(parents=True, exist_ok=True)  # COCO 2017 comes with both
    register_all(tmp_path)
    (record,) = DatasetCatalog.get("vcoco_test")
    assert record["file_name"] == str(tmp_path / image)
    assert (record["image_id"], record["width"], record["height"]) == (7, 8, 6)
    assert MetadataCatalog.get("vcoco_test").evaluator_type == "vcoco"


def test_official_vcoco_tree(tmp_path):
    action = {"action_name": "stand", "role_name": ["agent"], "role_object_id": [1]}
    columns = {"image_id": [7], "ann_id": [1], "label": [1]}
    put(tmp_path, "v-coco/data/vcoco/vcoco_test.json", [action | columns])
    name = "COCO_val2014_000000000007.jpg"
    coco = {
        "images": [{"id": 7, "file_name": name, "width": 8, "height": 6}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 3, 3]}],
    }
    put(tmp_path, "coco/annotations/instances_val2014.json", coco)
    register_all(tmp_path)
    (record,) = DatasetCatalog.get("vcoco_test")
    assert [p["object"] for p in record["hoi_annotations"]] == [-1]


def test_a_tree_made_after_registration_is_found(tmp_path):
    register_all(tmp_path)
    file = put(tmp_path, "hicodet/instances_test2015.json", upt_hico())
    assert len(DatasetCatalog.get("hico_det_test")) == 1
    assert MetadataCatalog.get("hico_det_test").json_file == str(file)


def test_records_load_without_images(tmp_path):
    put(tmp_path, "hico_20160224_det/annotations/test_hico.json", qpic_hico())
    register_all(tmp_path)
    (record,) = DatasetCatalog.get("hico_det_test")
    assert "width" not in record


def test_sizes_file_is_written_and_used(tmp_path):
    file = tmp_path / "a.json"
    records = [{"file_name": "x/1.jpg", "height": 3, "width": 4}, {"file_name": "x/2.jpg"}]
    assert write_image_sizes(records, file).name == "a.sizes.json"
    fresh = add_image_sizes([{"file_name": "y/1.jpg"}, {"file_name": "y/2.jpg"}], file)
    assert fresh == [{"file_name": "y/1.jpg", "height": 3, "width": 4}, {"file_name": "y/2.jpg"}]
    (tmp_path / "a.sizes.json").write_text("[]")
    assert "width" not in add_image_sizes([{"file_name": "y/1.jpg"}], file)[0]


def test_real_qpic_test_set_gets_the_images_without_pairs(test_data, tmp_path):
    """Registered, the QPIC file has the 9,658 images of the official metric."""
    folder = tmp_path / "hico_20160224_det/annotations"
    folder.mkdir(parents=True)
    (folder / "test_hico.json").symlink_to(test_data / "hico_det/test_hico.json")
    register_all(tmp_path)
    records = DatasetCatalog.get("hico_det_test")
    assert len(records) == len({r["image_id"] for r in records}) == 9658
    assert sum(not r["annotations"] for r in records) == 112


def test_zero_shot_splits(test_data, tmp_path):
    folder = tmp_path / "hico_20160224_det/annotations"
    folder.mkdir(parents=True)
    (folder / "trainval_hico.json").symlink_to(test_data / "hico_det/trainval_hico.json")
    register_all(tmp_path)
    groups = MetadataCatalog.get("hico_det_test_uo").hoi_groups
    assert (len(groups["unseen"]), len(groups["seen"])) == (100, 500)
    records = DatasetCatalog.get("hico_det_train_uo")
    left = {p["hoi"] for r in records for p in r["hoi_annotations"]}
    assert not left & set(groups["unseen"])
    assert all(r["hoi_annotations"] for r in records)


def own_data() -> dict:
    return {
        "images": [{"id": 3, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "cup"}],
        "annotations": [
            {"id": 1, "image_id": 3, "category_id": 1, "bbox": [0, 0, 4, 4]},
            {"id": 2, "image_id": 3, "category_id": 2, "bbox": [2, 2, 4, 4]},
        ],
        "verb_categories": [{"id": 1, "name": "hold"}, {"id": 2, "name": "wash"}],
        "hoi_annotations": [
            {"image_id": 3, "human_annotation_id": 1, "object_annotation_id": 2, "verb_id": 2}
        ],
    }


def test_own_data(tmp_path):
    file = put(tmp_path, "mine.json", own_data())
    put_image(tmp_path, "images/a.png", (9, 7))
    register_hoi_instances("mine", file, tmp_path / "images")
    register_hoi_instances("mine", file, tmp_path / "images")  # again is fine
    (record,) = DatasetCatalog.get("mine")
    assert (record["width"], record["height"]) == (9, 7)
    metadata = MetadataCatalog.get("mine")
    assert metadata.thing_classes[:2] == ["person", "bicycle"]  # all names are COCO's
    assert [metadata.vocabulary.hoi_name(h) for h in metadata.evaluated_hois] == ["wash cup"]


def test_own_data_from_a_config(tmp_path):
    """The key by which a config trains on own data."""
    file = put(tmp_path, "mine.json", own_data())
    cfg = load_config("")
    assert cfg.DATASETS.OWN == []
    cfg.merge_from_list(["DATASETS.OWN", [["from_config", str(file), str(tmp_path)]]])
    register_own_datasets(cfg)
    assert [r["image_id"] for r in DatasetCatalog.get("from_config")] == [3]
    cfg.merge_from_list(["DATASETS.OWN", ["from_config", str(file)]])
    with pytest.raises(ValueError, match="name, JSON file, image folder"):
        register_own_datasets(cfg)
