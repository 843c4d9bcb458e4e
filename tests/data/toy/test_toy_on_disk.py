import numpy as np
from detectron2.data import DatasetCatalog

from hoi_d2.commands.main import main
from hoi_d2.data import builtin
from hoi_d2.data.mappers import read_dataset_image
from hoi_d2.data.toy.dataset import toy_record


def test_the_real_loader_gives_the_toy_world_back(tmp_path):
    assert main(["data", "toy", str(tmp_path), "--train", "6", "--val", "4"]) == 0
    builtin.register_all(tmp_path)
    try:
        for split, name in (("train", "hico_det_train"), ("val", "hico_det_test")):
            made = [toy_record(split, i) for i in range(6 if split == "train" else 4)]
            made = [r for r in made if r["hoi_annotations"]]
            read = [r for r in DatasetCatalog.get(name) if r["hoi_annotations"]]
            assert len(read) == len(made) > 0
            for a, b in zip(made, read):
                boxes = [np.array([e["bbox"] for e in r["annotations"]]) for r in (a, b)]
                np.testing.assert_allclose(*boxes, atol=0.51)
                classes = [[e["category_id"] for e in r["annotations"]] for r in (a, b)]
                assert classes[0] == classes[1]
                assert a["hoi_annotations"] == b["hoi_annotations"]
                np.testing.assert_array_equal(read_dataset_image(a), read_dataset_image(b))
    finally:
        builtin.register_all()
