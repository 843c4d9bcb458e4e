"""Stanford 40 Actions: the official layout, one JSON file, broken records, registered splits."""

import json
import os

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from hoi_d2.data.builtin import register_all
from hoi_d2.data.dataset import open_dataset
from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.data.datasets.stanford40 import load_stanford40, stanford40_vocabulary
from hoi_d2.data.validation import validate_file
from hoi_d2.model_zoo import configs_root

ACTIONS = ("applauding", "riding_a_horse")
PHOTOGRAPHS = {  # split, size, 1-based box with its last pixel
    "applauding_001.jpg": ("train", (40, 30), (1, 1, 20, 30)),
    "applauding_012.jpg": ("test", (40, 30), (5, 3, 40, 30)),
    "riding_a_horse_001.jpg": ("train", (30, 40), (11, 6, 20, 25)),
}
XML = """<annotation>
  <filename>{name}</filename>
  <size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>
  <object><name>person</name><action>x</action>
    <bndbox><xmax>{box[2]}</xmax><xmin>{box[0]}</xmin><ymax>{box[3]}</ymax><ymin>{box[1]}</ymin></bndbox>
  </object>
</annotation>"""


@pytest.fixture
def official(tmp_path):
    """The folder that the official archives make, with tiny images."""
    root = tmp_path / "stanford40"
    for folder in ("ImageSplits", "XMLAnnotations", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    lines = ["action_name\tnumber_of_train_images", *(f"{a}\t  3" for a in ACTIONS)]
    (root / "ImageSplits" / "actions.txt").write_text("\r\n".join(lines) + "\r\n")
    for action in ACTIONS:
        for split in ("train", "test"):
            names = [n for n, p in PHOTOGRAPHS.items() if n.startswith(action) and p[0] == split]
            (root / "ImageSplits" / f"{action}_{split}.txt").write_text("\n".join([*names, ""]))
    for name, (_, size, box) in PHOTOGRAPHS.items():
        Image.new("RGB", size).save(root / "JPEGImages" / name)
        xml = XML.format(name=name, size=size, box=box)
        (root / "XMLAnnotations" / name.replace(".jpg", ".xml")).write_text(xml)
    return root


def prepared():
    """The same as one JSON file."""
    images = [
        {
            "file": name,
            "split": split,
            "action": name[:-8],
            "size": [*size],
            "person_box": [box[0] - 1, box[1] - 1, *box[2:]],
        }
        for name, (split, size, box) in PHOTOGRAPHS.items()
    ]
    return {"actions": [*ACTIONS], "images": images}


def test_official_layout(official):
    file = official / "ImageSplits" / "actions.txt"
    assert stanford40_vocabulary(file).verbs == ACTIONS  # without the heading
    records = load_stanford40(file, "root", split="train")
    assert [r["image_id"] for r in records] == [1, 1001]  # the numbers begin anew with each action
    first = records[0]
    assert first["file_name"] == os.path.join("root", "applauding_001.jpg")
    assert (first["width"], first["height"]) == (40, 30)
    assert first["annotations"][0]["bbox"] == [0, 0, 20, 30]
    assert first["hoi_annotations"] == [{"human": 0, "object": -1, "verb": 0, "hoi": 0}]
    assert [r["image_labels"].tolist() for r in records] == [[1, -1], [-1, 1]]
    assert [r["image_id"] for r in load_stanford40(file, split="test")] == [12]


@pytest.mark.parametrize("split", ["train", "test"])
def test_json_form_says_the_same(official, write_json, split):
    file = official / "ImageSplits" / "actions.txt"
    ours = load_stanford40(write_json(prepared()), split=split)
    for one, other in zip(load_stanford40(file, split=split), ours, strict=True):
        assert np.array_equal(one.pop("image_labels"), other.pop("image_labels"))
        assert one == other


def test_without_boxes(official, write_json):
    for file in (official / "XMLAnnotations").iterdir():
        file.unlink()
    data = prepared()
    for image in data["images"]:
        del image["person_box"], image["size"]
    for file in (official / "ImageSplits" / "actions.txt", write_json(data)):
        (first, _) = load_stanford40(file)
        assert first["annotations"] == first["hoi_annotations"] == [] and "width" not in first
        assert first["image_labels"].tolist() == [1, -1]


def test_registered_splits(official):
    register_all(official.parent)
    records = DatasetCatalog.get("stanford40_test")
    assert os.path.isfile(records[0]["file_name"])
    metadata = MetadataCatalog.get("stanford40_test")
    assert metadata.evaluator_type == "stanford40" and metadata.vocabulary.verbs == ACTIONS
    parts = [DatasetCatalog.get(f"stanford40_train{part}") for part in ("", "_90", "_10")]
    assert [len(part) for part in parts] == [2, 2, 0]
    file = official / "ImageSplits" / "actions.txt"
    assert len(open_dataset(file, file_format="stanford40", split="test").records) == 1
    register_all()


BROKEN = [
    # change, words of the message
    (lambda d: d.pop("actions"), ["actions and images"]),
    (lambda d: d.update(images=None), ["images", "a list"]),
    (lambda d: d["images"][1].update(action="sleeping"), ["images[1]", "sleeping", "applauding"]),
    (lambda d: d["images"][1].update(split="val"), ["images[1]", "val", "train, test"]),
    (lambda d: d["images"][0].update(file="a.jpg"), ["a.jpg", "number below 1000"]),
    (lambda d: d["images"][0].update(file="a_1000.jpg"), ["a_1000.jpg", "number below 1000"]),
    (lambda d: d["images"][0].update(person_box=[5, 5, 1, 9]), ["images[0]", "person_box"]),
    (lambda d: d["images"][0].update(size=[40]), ["images[0]", "size"]),
]


@pytest.mark.parametrize("change, words", BROKEN, ids=[w[-1] for _, w in BROKEN])
def test_broken_json_is_named(write_json, change, words):
    data = prepared()
    change(data)
    with pytest.raises(DataFormatError) as error:
        load_stanford40(write_json(data))
    assert all(word in str(error.value) for word in words), error.value


def test_broken_official_files_are_named(official):
    file = official / "ImageSplits" / "actions.txt"
    xml = official / "XMLAnnotations" / "applauding_001.xml"
    for text in ("<annotation>", "<annotation><size/></annotation>"):
        xml.write_text(text)
        with pytest.raises(DataFormatError, match=r"applauding_001\.jpg.*applauding_001\.xml"):
            load_stanford40(file)
    (official / "ImageSplits" / "applauding_train.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"applauding_train\.txt"):
        load_stanford40(file)
    with pytest.raises(DataFormatError, match="train or test"):
        load_stanford40(file, split="val")


def test_validation(official, tmp_path):
    report = validate_file(
        official / "ImageSplits" / "actions.txt", image_root=official / "JPEGImages"
    )
    assert report.is_sound and report.format == "stanford40"
    assert (report.images, report.entities, report.images_checked) == (3, 3, 3)
    data = prepared()
    data["images"][2]["person_box"] = [11, 6, 200, 25]
    (tmp_path / "x.json").write_text(json.dumps(data))
    report = validate_file(tmp_path / "x.json")
    (problem,) = report.problems
    assert "riding_a_horse_001.jpg" in problem.record and "30 x 40" in problem.expected


def test_real_photographs(real_data):
    file = real_data / "stanford40" / "stanford40.json"
    if not file.is_file():
        pytest.skip("no Stanford 40 there")
    images = real_data / "stanford40" / "images"
    records = {split: load_stanford40(file, images, split=split) for split in ("train", "test")}
    assert len(records["train"]) == 4000  # the whole official training set
    assert len({r["image_id"] for part in records.values() for r in part}) == 6000
    shown = sum((r["image_labels"] == 1).astype(int) for r in records["train"])
    assert (shown == 100).all()
    assert validate_file(file, decode=False).is_sound


def test_trains_and_evaluates_in_the_official_layout(official, tmp_path, monkeypatch):
    """`hoi-d2 train` and `hoi-d2 eval` with the project's config, without the weights it names."""
    from hoi_d2.engine.setup import parse_args, run

    monkeypatch.setenv("DETECTRON2_DATASETS", str(official.parent))
    config = str(configs_root() / "DEFR" / "Stanford40-EfficientNet-Lite0.yaml")
    keys = {"OUTPUT_DIR": tmp_path / "run", "MODEL.DEVICE": "cpu", "INPUT.SQUARE_SIZE": 64}
    keys |= {"MODEL.IMAGE_ENCODER.WEIGHTS": "", "MODEL.IMAGE_ENCODER.NAME": "tf_efficientnet_lite0"}
    keys |= {"MODEL.CLASSIFIER.INIT": "random", "MODEL.ALLOW_RANDOM_WEIGHTS": True}
    keys |= {"SOLVER.MAX_ITER": 2, "SOLVER.IMS_PER_BATCH": 2, "DATALOADER.NUM_WORKERS": 0}
    options = [str(part) for pair in keys.items() for part in pair]
    run(parse_args(["--config-file", config, *options]))
    trained = tmp_path / "run" / "model_final.pth"
    options += ["MODEL.WEIGHTS", str(trained)]
    metrics = run(parse_args(["--eval-only", "--config-file", config, *options]))
    assert set(metrics["stanford40"]) == {"mAP", "accuracy"}
    assert metrics["stanford40"]["mAP"] == 100.0  # one test image, of one class
    register_all()
