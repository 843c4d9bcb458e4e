"""A detector for V-COCO is trained on none of V-COCO's test images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog
from PIL import Image

from hoi_d2.config.load import load_config
from hoi_d2.data.builtin import register_all
from hoi_d2.data.datasets.coco_without_vcoco import (
    check_no_vcoco_test,
    load_coco_without_vcoco_test,
)
from hoi_d2.data.datasets.vcoco import load_vcoco, read_image_ids
from hoi_d2.data.mappers import HOIDatasetMapper
from hoi_d2.data.vocabulary import coco_category_ids, coco_objects, vcoco_test_images

CONFIG = Path(__file__).parents[2] / "configs/Detr/R50_COCO_for_VCOCO.yaml"
TEST, OTHERS = [294, 328, 395], [9, 25, 785]  # ids of V-COCO's test set; and not


def write_coco(root: Path, ids: list[int]) -> Path:
    """A tree of COCO 2017 with one box in each image."""
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "height": 60, "width": 80} for i in ids]
    annotations = [
        {
            "id": i,
            "image_id": i,
            "category_id": 90,
            "bbox": [10, 20, 30, 35],
            "area": 9,
            "iscrowd": 0,
        }
        for i in ids
    ]
    names = zip(coco_category_ids(), coco_objects())
    categories = [{"id": int(i), "name": name} for i, name in names]
    path = root / "coco/annotations/instances_train2017.json"
    path.parent.mkdir(parents=True)
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    for image in images:
        file = root / "coco/train2017" / image["file_name"]
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (80, 60)).save(file)
    return path


@pytest.mark.parametrize(
    ("ids", "kept"),
    [([], []), (OTHERS, OTHERS), (TEST, []), ([294, 9, 328, 25, 395, 785], OTHERS)],
)
def test_test_images_are_left_out(tmp_path: Path, ids: list[int], kept: list[int]) -> None:
    path = write_coco(tmp_path, ids)
    records = load_coco_without_vcoco_test(path, tmp_path)
    assert [r["image_id"] for r in records] == kept
    check_no_vcoco_test(records, path)


@pytest.mark.parametrize(
    ("image_id", "file_name"),
    [(294, "a.jpg"), (1, "x/COCO_val2014_000000000294.jpg"), (1, "000000000294.jpg")],
)
def test_the_check_finds_them_by_id_and_by_name(image_id: int, file_name: str) -> None:
    sound = {"image_id": 9, "file_name": "000000000009.jpg"}
    check_no_vcoco_test([sound, {"image_id": 1, "file_name": "image_of_me.jpg"}], "x.json")
    with pytest.raises(ValueError, match=r"x\.json: 1 images are of V-COCO's test set"):
        check_no_vcoco_test([sound, {"image_id": image_id, "file_name": file_name}], "x.json")


def test_the_config_trains_on_the_rest(tmp_path: Path) -> None:
    write_coco(tmp_path, [294, 9, 785])
    cfg = load_config("")
    cfg.merge_from_file(str(CONFIG))
    (name,) = cfg.DATASETS.TRAIN
    try:
        register_all(tmp_path)
        records = DatasetCatalog.get(name)
    finally:
        register_all()
    assert [r["image_id"] for r in records] == [9, 785]
    inputs = HOIDatasetMapper(cfg, True)(records[0])
    assert inputs["instances"].gt_classes.tolist() == [79]  # id 90, toothbrush
    height, width = inputs["image"].shape[1:]
    assert inputs["instances"].gt_boxes.area().item() > 0 and len(inputs["hoi_instances"]) == 0
    assert max(height, width) <= 1333


def test_a_box_of_coco_is_read_as_xywh(tmp_path: Path) -> None:
    write_coco(tmp_path, [9])
    cfg = load_config("")
    opts = ["DATASETS.TRAIN", ("coco_2017_train_without_vcoco_test",), "INPUT.RANDOM_FLIP", "none"]
    cfg.merge_from_list([*opts, "INPUT.MIN_SIZE_TRAIN", (60,)])
    path = tmp_path / "coco/annotations/instances_train2017.json"
    (record,) = load_coco_without_vcoco_test(path, tmp_path / "coco/train2017")
    inputs = HOIDatasetMapper(cfg, True)(record)
    assert inputs["instances"].gt_boxes.tensor.tolist() == [[10, 20, 40, 55]]


def test_the_list_is_vcocos(real_data: Path) -> None:
    ids = read_image_ids(real_data / "vcoco/splits/vcoco_test.ids")
    assert len(ids) == 4946 and set(ids) == vcoco_test_images()
    train = read_image_ids(real_data / "vcoco/splits/vcoco_trainval.ids")
    assert not vcoco_test_images() & set(train)
    records = load_vcoco(real_data / "vcoco/instances_vcoco_test.json")
    assert {r["image_id"] for r in records} <= vcoco_test_images()
    with pytest.raises(ValueError, match="V-COCO's test set"):
        check_no_vcoco_test(records, "instances_vcoco_test.json")
