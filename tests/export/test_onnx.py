"""The exported graphs give torch's numbers, and the runner the predictor's interactions."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra [export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")

from hoi_d2.data.toy import scene as toy
from hoi_d2.export.onnx import check_export, export_model, exportable
from hoi_d2.export.runner import ExportedModel

SIZE = (192, 224)  # of the largest images of the toy world
OUTPUTS = {"toy/rmlr": 6 + 3, "toy/defr_det": 3 + 1 + 3}


@pytest.fixture(scope="module", params=list(OUTPUTS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def predictor(name):
    return exportable(f"{name}.yaml")


@pytest.fixture(scope="module")
def folder(predictor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    files = export_model(predictor, folder, size=SIZE)
    assert sorted(files) == sorted(folder.iterdir())
    return folder


def test_the_graphs_give_torchs_numbers(name, predictor, folder):
    differences = check_export(predictor, folder, size=SIZE, pairs=(1, 2, 37))
    assert len(differences) == OUTPUTS[name]
    assert max(differences.values()) < 1e-4


def same(found, triplets, *, score=1e-4, pixels=0.01):
    """The runner's interactions are the predictor's, each with its score; ties in any order."""
    assert len(found) == len(triplets)
    scores = [row["score"] for row in found]
    assert scores == pytest.approx([t.score for t in triplets], abs=score)
    for row in found:
        boxes = np.asarray([row["human_box"], row["object_box"]])
        likely = [t for t in triplets if (t.verb, t.object) == (row["verb"], row["object"])]
        near = [
            abs(t.score - row["score"]) <= score
            and np.abs(boxes - [t.human_box, t.object_box]).max() <= pixels
            for t in likely
        ]
        assert any(near) or row["score"] <= scores[-1] + score  # the last ones may be others


def test_the_runner_finds_what_the_predictor_finds(predictor, folder):
    """On images smaller than the graph's: padding below and beside them changes nothing."""
    exported, found = ExportedModel(folder), 0
    images = [toy.render(toy.toy_scene("val", index)) for index in range(6)]
    assert len({p.shape for p in images}) > 2
    for image in images:
        prediction = predictor(image)
        same(exported(image), prediction.triplets)
        found += len(prediction.triplets)
    assert found > 100


def test_images_are_resized_as_in_training(name, predictor, folder):
    """A detector that wants a shorter side of 150 pixels: Pillow's resize in numpy."""
    resizing = exportable(f"{name}.yaml", ["INPUT.MIN_SIZE_TEST", 150])
    exported = ExportedModel(folder)
    exported.settings["shorter_side"] = 150
    image = toy.render(toy.toy_scene("val", 1))
    triplets = resizing(image).triplets
    assert len(triplets) > 5
    # Some bytes are rounded to the other side.
    same(exported(image), triplets, score=0.02, pixels=0.2)


def test_what_does_not_fit_is_made_smaller(folder):
    exported = ExportedModel(folder)
    scaled = exported.scale(np.zeros((400, 100, 3), np.uint8))
    assert scaled.shape == (192, 48, 3) and scaled.dtype == np.uint8
    image, mask = exported.padded(scaled)
    assert image.shape == (1, 3, *SIZE) and mask.sum() == 192 * 48
    assert exported.scale(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30, 3)
    scene = toy.render(toy.toy_scene("val", 0))
    large = cv2.resize(scene, None, fx=3, fy=3)
    found = exported(large)
    boxes = np.asarray([row["human_box"] for row in found])
    assert len(boxes) and boxes.max() > 224 and (boxes[:, 2] <= large.shape[1]).all()


def test_an_image_without_pairs(predictor, folder):
    blank = np.full((192, 192, 3), 200, np.uint8)
    exported = ExportedModel(folder)
    exported.settings.update(pair_score_threshold=2.0, min_instances=0)
    assert exported(blank) == []


def test_runner_as_a_program(folder, tmp_path):
    """In a Python that cannot import torch or this package."""
    cv2.imwrite(str(tmp_path / "scene.png"), toy.render(toy.toy_scene("val", 1)))
    (tmp_path / "bad.png").write_bytes(b"junk")
    for module in ("torch", "hoi_d2", "cv2", "detectron2"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('the runner must do without')")
    (tmp_path / "huge.ppm").write_bytes(b"P6\n100000 100000\n255\n" + bytes(30))
    (tmp_path / "bad\udcff.jpg").write_bytes(b"junk")
    files = ("scene.png", "bad.png", "huge.ppm", "bad\udcff.jpg", "none.jpg")
    command = [sys.executable, str(folder / "run_hoi.py"), *files]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    for reason in ("bad.png: not an image", "huge.ppm: too many pixels", "none.jpg: No such file"):
        assert reason in done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["scene.png"] and len(found["scene.png"]) > 10


def test_a_file_that_is_missing_is_named(folder, tmp_path):
    for file in ("model.json", "detector.onnx"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    with pytest.raises(FileNotFoundError, match=r"head\.onnx does not exist"):
        ExportedModel(tmp_path)
