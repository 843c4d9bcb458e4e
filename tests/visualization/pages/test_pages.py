import json
import re

import numpy as np
import pytest
from drawing_cases import make_results
from PIL import Image

from hoi_d2.data.dataset import Dataset
from hoi_d2.visualization.pages.comparison import compare
from hoi_d2.visualization.pages.folders import draw_comparison, draw_dataset, image_names
from hoi_d2.visualization.pages.report import (
    class_counts,
    classes_named,
    draw_figures,
    order_images,
    summarize,
)


def data_of(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.mark.parametrize("num", [0, 1, 3])
def test_draw_dataset(num, dataset, tmp_path):
    output = tmp_path / "out"
    assert draw_dataset(dataset, dataset.records[:num], output) == []
    images = data_of(output)["images"]
    assert len(images) == num
    for raw_image, record in zip(images, dataset.records):
        with Image.open(output / raw_image["src"]) as image:
            assert list(image.size) == raw_image["size"]
            assert image.size[0] % record["width"] == 0
    if num:
        assert images[0]["rows"] == [["ride", "bicycle", ""], ["hold", "bicycle", "rare"]]


def test_without_a_page(dataset, tmp_path):
    draw_dataset(dataset, dataset.records, tmp_path / "out", page=False, suffix=".jpg")
    assert len(list((tmp_path / "out" / "images").glob("*.jpg"))) == 3
    assert not (tmp_path / "out" / "index.html").exists()


def test_what_cannot_be_drawn_is_named_and_skipped(dataset, tmp_path):
    broken, missing, sound = dataset.records
    (tmp_path / "scene_1.png").write_bytes(b"not an image")
    missing["file_name"] = str(tmp_path / "gone.png")
    failures = draw_dataset(dataset, [broken, missing, sound], tmp_path / "out")
    assert len(failures) == 2
    assert "scene_1.png" in failures[0] and "gone.png" in failures[1]
    assert [p["title"] for p in data_of(tmp_path / "out")["images"]] == ["3: scene_3.png"]
    assert "2 images could not be drawn" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ([], []),
        (["a/x.jpg", "b/x.jpg", "c/x.png"], ["x.png", "x_2.png", "x_3.png"]),
        (["toy://val/3", "toy://val/4"], ["toy_val_3.png", "toy_val_4.png"]),
        (["a b#c%.jpg"], ["a_b_c_.png"]),
    ],
)
def testimage_names(files, names):
    assert image_names([{"file_name": f} for f in files], ".png") == names


@pytest.fixture
def comparison(dataset, results):
    return compare(results, dataset.records, dataset.vocabulary)


def test_draw_comparison(dataset, comparison, tmp_path):
    failures = draw_comparison(
        dataset, comparison, [2, 0, 1], tmp_path, score_threshold=0.5, summary="lines"
    )
    assert failures == []
    images = data_of(tmp_path)["images"]
    assert [p["title"][0] for p in images] == ["3", "1", "2"]
    assert [p["numbers"] for p in images] == [
        {"misses": 0, "false alarms": 0, "hits": 0},
        {"misses": 1, "false alarms": 1, "hits": 1},
        {"misses": 1, "false alarms": 1, "hits": 0},
    ]
    assert images[1]["rows"] == [
        ["ride", "bicycle", "", "hit"],
        ["ride", "bicycle", "", "false alarm"],
        ["hold", "bicycle", "rare", "miss"],
    ]
    with Image.open(tmp_path / images[1]["src"]) as image:
        assert image.size[0] > 2 * 160


@pytest.mark.parametrize(
    ("options", "images"),
    [
        ({}, [0, 1]),
        ({"worst_first": True}, [1, 0]),  # as many errors, but nothing right
        ({"worst_first": True, "num": 1}, [1]),
        ({"num": 0}, []),
        ({"score_threshold": 0.0}, [0, 1, 2]),
        ({"classes": [2]}, [1]),
        ({"there": np.array([False, True, True]), "num": 1}, [1]),
        ({"there": np.array([False, True, True])}, [0, 1]),  # nothing is cut
    ],
)
def test_order_images(options, images, comparison):
    options = {"score_threshold": 0.5, **options}
    assert order_images(comparison, **options) == images


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ([], []),
        (["ride bicycle"], [0]),
        (["bicycle"], [0, 1]),
        (["hold"], [1, 2]),
        (["hold sports ball", "hug person"], [2, 3]),
    ],
)
def test_classes_named(names, classes, comparison):
    assert classes_named(comparison, names) == classes


def test_unknown_class_gets_help(comparison):
    with pytest.raises(ValueError, match="Did you mean ride bicycle"):
        classes_named(comparison, ["ride bicycles"])


def test_summary(comparison, dataset):
    text = summarize(comparison, dataset, score_threshold=0.5, num_drawn=2)
    assert "4 detections, 3 annotated interactions in 3 images; mAP 25.00" in text
    assert "over 4 classes, 33.33 over the 3 that have an annotated pair" in text
    assert "1 hits, 2 missed, 2 false alarms; precision 0.333, recall 0.333" in text


def test_summary_counts_evaluated_classes_only(comparison, dataset):
    few = Dataset("few", dataset.records, dataset.vocabulary, evaluated_hois=(0, 1))
    assert "mAP 50.00" in summarize(comparison, few, score_threshold=0.5, num_drawn=0)


@pytest.mark.parametrize("empty", [True, False])
def test_figures(empty, comparison, dataset, tmp_path):
    if empty:
        comparison = compare(make_results([]), dataset.records, dataset.vocabulary)
    figures, [table] = draw_figures(comparison, dataset, tmp_path, train=dataset)
    assert len(figures) == (3 if empty else 4)
    for src, _ in figures:
        assert (tmp_path / src).stat().st_size > 1000
        assert (tmp_path / src).with_suffix(".csv").is_file()
    assert table.columns[-1] == "training samples"
    ride = ["ride bicycle", "", 0.0 if empty else 100.0, 1, 0 if empty else 2, 0 if empty else 1, 1]
    assert table.rows[0] == ride


def test_class_counts(dataset, verbs_only):
    assert class_counts(dataset).tolist() == [1, 1, 1, 0]
    by_verb = Dataset("v", dataset.records, verbs_only)
    assert class_counts(by_verb).tolist() == [1, 2, 0]


def test_vcoco_headline_leaves_agents_out(verbs_only, dataset):
    records = dataset.records
    comparison = compare(make_results([]), records, verbs_only, evaluator_type="vcoco")
    as_vcoco = Dataset("v", records, verbs_only, evaluator_type="vcoco")
    assert "AP_role_s1 0.00" in summarize(comparison, as_vcoco, score_threshold=0, num_drawn=0)
    assert np.isnan(comparison.average_precision[2])  # nobody walks
