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

from hoi_d2.data import toy
from hoi_d2.export.onnx import check_export, export_rmlr, exportable
from hoi_d2.export.runner import ExportedRmLR

SIZE = (192, 192)


@pytest.fixture(scope="module")
def predictor():
    return exportable("toy/rmlr.yaml")


@pytest.fixture(scope="module")
def folder(predictor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    export_rmlr(predictor, folder, size=SIZE)
    return folder


def test_the_graphs_give_torchs_numbers(predictor, folder):
    differences = check_export(predictor, folder, size=SIZE, pairs=(1, 2, 37))
    assert len(differences) == 6 + 3
    assert max(differences.values()) < 1e-4


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_runner_finds_what_the_predictor_finds(predictor, folder, index):
    """On a picture that fits in the size: the padding below and beside it changes nothing."""
    picture = toy.render(toy.toy_scene("val", index))
    height, width = picture.shape[:2]
    exported = ExportedRmLR(folder)
    exported.settings["size"] = SIZE
    if max(height, width) != max(SIZE):  # else the runner scales it
        picture = cv2.resize(picture, None, fx=(f := max(SIZE) / max(height, width)), fy=f)
    found, expected = exported(picture), predictor(picture).triplets
    assert len(found) == len(expected) > 10
    for a, b in zip(found[:10], expected[:10]):
        assert a["score"] == pytest.approx(b.score, abs=1e-4)
    assert {(a["verb"], a["object"]) for a in found[:5]} == {
        (b.verb, b.object) for b in expected[:5]
    }
    np.testing.assert_allclose(found[0]["human_box"], expected[0].human_box, atol=0.01)


def test_a_picture_is_scaled_to_fit(folder):
    exported = ExportedRmLR(folder)
    image, mask, inner = exported.prepare(np.zeros((400, 100, 3), np.uint8))
    assert image.shape == (1, 3, *SIZE) and inner == (192, 48)
    assert mask.sum() == 192 * 48
    boxes = [
        box for row in exported(np.full((400, 100, 3), 90, np.uint8)) for box in row["human_box"]
    ]
    assert all(0 <= v <= 400 for v in boxes)


def test_runner_as_a_program(folder, tmp_path):
    """In a Python that cannot import torch or this package."""
    cv2.imwrite(str(tmp_path / "scene.png"), toy.render(toy.toy_scene("val", 0)))
    (tmp_path / "bad.png").write_bytes(b"junk")
    (tmp_path / "torch.py").write_text("raise ImportError('the runner must do without')")
    (tmp_path / "hoi_d2.py").write_text("raise ImportError('the runner must do without')")
    command = [sys.executable, str(folder / "run_hoi.py"), "scene.png", "bad.png"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1 and "bad.png" in done.stderr, done.stderr
    assert len(json.loads(done.stdout)["scene.png"]) > 10


@pytest.mark.parametrize(
    ("config", "size", "message"),
    [("toy/detr.yaml", SIZE, "knows RmLR"), ("toy/rmlr.yaml", (190, 192), "multiples of 16")],
)
def test_what_cannot_be_exported_is_named(config, size, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_rmlr(exportable(config), tmp_path, size=size)
