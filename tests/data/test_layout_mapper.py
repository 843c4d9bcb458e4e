import pytest
import torch

from hoi_d2.data.layout_mapper import LayoutMapper


def record(boxes, pairs=(), **more):
    entities = [
        {"bbox": list(b), "bbox_mode": 0, "category_id": i % 2, "iscrowd": 0}
        for i, b in enumerate(boxes)
    ]
    interactions = [{"human": h, "object": o, "verb": v, "hoi": 0} for h, o, v in pairs]
    return {
        "file_name": "not/on/disk.jpg",
        "image_id": 7,
        "annotations": entities,
        "hoi_annotations": interactions,
        **more,
    }


@pytest.mark.parametrize(
    "given, size",
    [
        (record([]), (640, 640)),
        (record([(0, 0, 30, 40)]), (640, 640)),
        (record([(0, 0, 30.5, 700.2)]), (701, 640)),
        (record([(0, 0, 30, 40)], height=50, width=60), (50, 60)),
    ],
)
def test_size_of_the_image(given, size):
    mapped = LayoutMapper(is_train=False)(given)
    assert (mapped["height"], mapped["width"]) == size
    assert mapped["instances"].image_size == size
    assert len(mapped["instances"]) == len(given["annotations"])
    assert "hoi_instances" not in mapped
    assert "annotations" in given


def test_verbs_of_a_pair_are_one_row_and_pairs_without_object_go():
    pairs = [(0, 1, 5), (0, 1, 9), (2, 1, 5), (0, -1, 3)]
    given = record([(0, 0, 30, 40), (5, 5, 20, 20), (50, 5, 70, 80)], pairs)
    targets = LayoutMapper(is_train=True, num_verbs=12)(given)["hoi_instances"]
    assert targets.gt_pairs.tolist() == [[0, 1], [2, 1]]
    assert targets.gt_verbs.nonzero().tolist() == [[0, 5], [0, 9], [1, 5]]
    assert targets.gt_verbs.dtype == torch.float32
