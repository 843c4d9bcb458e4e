"""The costs of the zoo are those of the models."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from hoi_d2.benchmark.zoo import machine, parameter_counts, training_step
from hoi_d2.model_zoo import configs_root

TOOL = runpy.run_path("tools/make_model_zoo.py")
ZOO = json.loads(TOOL["ZOO"].read_text())
ROWS = {row["config"]: row for section in ZOO.values() for row in section["rows"]}


@pytest.mark.parametrize(
    "name",
    [
        "toy/defr_det.yaml",
        "toy/detr.yaml",
        "toy/rmlr.yaml",
        "toy/faster_rcnn.yaml",
        "Detr/R50.yaml",
    ],
)
def test_parameters_are_those_of_the_model(name):
    assert ROWS[name]["parameters"] == parameter_counts(name)


_FROM_FILES = ("MPII", "Stanford40", "ground-truth", "precomputed", "d_fine")
_NO_BOXES = "ENTITY_DETECTOR: {NAME: PrecomputedEntityDetector, PRECOMPUTED: {FILE: %s}}"
_NO_WEIGHTS = "IMAGE_ENCODER: {WEIGHTS: nowhere/mistyped.safetensors}"


def _config_over(folder: Path, base: str, model: str, train: str) -> str:
    file = folder / "config.yaml"
    base_file = configs_root().resolve() / base
    file.write_text(f"_BASE_: {base_file}\nMODEL: {{{model}}}\nDATASETS: {{TRAIN: ['{train}']}}\n")
    return str(file)


@pytest.mark.parametrize(
    ("base", "model", "train"),
    [
        ("toy/defr_det.yaml", _NO_BOXES % "nowhere.json", "toy_hoi_train"),
        ("toy/defr_det.yaml", _NO_BOXES % "ground_truth", "hico_det_train"),
        ("toy/defr.yaml", "", "mpii_train"),
    ],
    ids=["no detections", "no annotations", "no class names"],
)
def test_data_that_is_not_there_leaves_the_count_open(base, model, train, monkeypatch, tmp_path):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert parameter_counts(_config_over(tmp_path, base, model, train)) is None


def test_other_files_that_are_not_there_are_mistakes(tmp_path):
    file = _config_over(tmp_path, "toy/defr.yaml", _NO_WEIGHTS, "toy_hoi_cls_train")
    with pytest.raises(FileNotFoundError, match="mistyped"):
        parameter_counts(file)
    with pytest.raises(FileNotFoundError, match="config not found"):
        parameter_counts("toy/mistyped.yaml")


def test_parameters_of_a_known_model():
    """DETR R-50 has 41.5 M (of 91 + 1 classes) by its authors' own count of "41M"."""
    assert round(ROWS["Detr/R50.yaml"]["parameters"]["all"] / 1e6) in (41, 42)


def test_every_row_says_what_it_has():
    for section in ZOO.values():
        for row in section["rows"]:
            parameters = row["parameters"]
            if parameters is None:  # built from files that are not here
                assert any(k in row["config"] for k in _FROM_FILES)
                continue
            assert 0 <= parameters["trained"] <= parameters["all"] > 5e5
            if "step" in section["columns"]:
                assert row["step"] is None or row["step"]["peak_memory_mb"] > 100
                assert section["measured_on"] and row["trained_for"]
            if "paper_training" in section["columns"]:
                assert row["paper_training"]


def test_a_model_that_is_not_trained_has_no_step():
    assert ROWS["toy/defr_det.yaml"]["step"] is training_step("toy/defr_det.yaml") is None
    assert ROWS["toy/defr_det.yaml"]["parameters"]["trained"] == 0


def test_a_step_is_measured():
    found = training_step("toy/rmlr.yaml", steps=1)
    assert found["batch"] == ROWS["toy/rmlr.yaml"]["step"]["batch"] == 16
    assert 0.05 < found["cpu_seconds"] < 60 and found["peak_memory_mb"] > 100
    assert "torch" in machine()


def test_measuring_writes_after_each_row():
    zoo = {"a": {"columns": {}, "rows": [{"config": "toy/rmlr.yaml"}, {"config": "x.yaml"}]}}
    saved = []
    TOOL["measure"](zoo, ["toy/rmlr.yaml"], lambda: saved.append(json.dumps(zoo)))
    assert (
        json.loads(saved[-1])["a"]["rows"][0]["parameters"] == ROWS["toy/rmlr.yaml"]["parameters"]
    )
    assert "parameters" not in zoo["a"]["rows"][1]


def test_a_config_without_a_row():
    with pytest.raises(KeyError, match=r"no row of toy/none.yaml; the zoo has photo/photo.yaml"):
        TOOL["measure"](ZOO, ["toy/none.yaml"], lambda: None)
