"""The photo model as ONNX: graphs for any number of entities, and the predictor's interactions."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra [export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")

from hoi_d2.demo.photographs import example_photographs
from hoi_d2.export.onnx import check_export, default_size, export_model, exportable
from hoi_d2.export.runner import ExportedModel
from tests.export.test_onnx import same


@pytest.fixture(scope="module")
def predictor():
    return exportable("photo/photo.yaml")


@pytest.fixture(scope="module")
def folder(predictor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    export_model(predictor, folder, size=default_size(predictor.cfg))
    return folder


def test_the_graphs_give_torchs_numbers(predictor, folder):
    size = default_size(predictor.cfg)
    assert size == (416, 416)
    differences = check_export(predictor, folder, size=size, pairs=(1, 2, 60))
    assert len(differences) == 3 + 3 and max(differences.values()) < 1e-4


def photographs(real_data):
    files = [*example_photographs(), *sorted((real_data / "images").rglob("*.jpg"))[:3]]
    return [cv2.imread(str(file)) for file in files]


def test_the_runner_finds_what_the_predictor_finds(predictor, folder, real_data):
    model, found = ExportedModel(folder), 0
    for image in photographs(real_data):
        triplets = predictor(image).triplets
        same(model(image), triplets, score=1e-3, pixels=0.05)
        found += len(triplets)
    assert found > 10


def test_an_image_of_nothing(folder):
    assert ExportedModel(folder)(np.full((300, 200, 3), 127, np.uint8)) == []


def test_as_a_program(folder, tmp_path):
    [photograph, *_] = example_photographs()
    done = subprocess.run(
        [sys.executable, str(folder / "run_hoi.py"), str(photograph)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)[str(photograph)]
    assert {"verb", "object", "score", "human_box", "object_box"} <= rows[0].keys()
