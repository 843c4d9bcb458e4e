"""`tools/gpu_check.sh`: what it compares, what it writes, and what it does when a section fails."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from hoi_d2.benchmark.gpu import check, numbers
from hoi_d2.benchmark.gpu.numbers import Outcome, Tolerance, compare, differences, is_within
from hoi_d2.benchmark.gpu.report import page
from hoi_d2.engine import launch
from hoi_d2.utils.user_errors import UserError

TOLERANCE = Tolerance(found=0.9, score=0.1, loss=0.01, cosine=0.99)
GOOD = {"found": 1.0, "number": 3, "score": 0.0, "loss": 0.0, "cosine": 1.0, "finite": True}


def found(*rows: tuple[list[float], int, float]) -> dict[str, torch.Tensor]:
    """(boxes, class, score) of each finding."""
    return {
        "boxes": torch.tensor([r[0] for r in rows]) if rows else torch.zeros(0, 4),
        "classes": torch.tensor([r[1] for r in rows], dtype=torch.int64),
        "scores": torch.tensor([r[2] for r in rows]),
    }


BOX, MOVED, OTHER = [0.0, 0, 10, 10], [0.5, 0, 10.5, 10], [50.0, 50, 60, 60]


@pytest.mark.parametrize(
    "reference, other, expected",
    [
        (found(), found((BOX, 1, 0.9)), []),
        (found((BOX, 1, 0.01)), found((BOX, 1, 0.01)), []),  # too low to count
        (found((BOX, 1, 0.9)), found((MOVED, 1, 0.8)), [0.1]),
        (found((BOX, 1, 0.9)), found((BOX, 2, 0.9)), [None]),
        (found((BOX, 1, 0.9)), found((OTHER, 1, 0.9)), [None]),
        (found((BOX + BOX, 1, 0.9)), found((BOX + OTHER, 1, 0.9)), [None]),  # the object's box
        (found((BOX, 1, 0.9)), found((BOX, 1, 0.5), (BOX, 1, 0.7)), [0.2]),  # the nearer one
    ],
)
def test_findings_are_looked_for_by_class_and_boxes(reference, other, expected):
    assert differences(reference, other) == [
        None if value is None else pytest.approx(value, abs=1e-6) for value in expected
    ]


@pytest.mark.parametrize(
    "change, expected",
    [
        ({}, True),
        ({"found": 0.8}, False),
        ({"number": 0}, False),  # nothing was compared
        ({"score": 0.2}, False),
        ({"loss": 0.02}, False),
        ({"cosine": 0.5}, False),
        ({"cosine": float("nan")}, False),
        ({"finite": False}, False),
        ({"found": None, "number": None, "score": None, "loss": None, "cosine": None}, True),
    ],
)
def test_a_row_is_within_the_tolerance(change, expected):
    assert is_within(GOOD | change, TOLERANCE) is expected


def test_a_wrong_gradient_and_a_missing_finding_are_seen():
    right = Outcome([found((BOX, 1, 0.9))], 2.0, torch.tensor([1.0, 2, 3]))
    wrong = Outcome([found((OTHER, 1, 0.9))], 2.1, torch.tensor([3.0, -2, 1]))
    both = ("results", "training")
    assert is_within(compare(right, right, both), TOLERANCE)
    row = compare(right, wrong, both)
    assert row["found"] == 0 and row["loss"] == pytest.approx(0.05) and row["cosine"] < 0.2
    row = compare(right, wrong, ())
    assert row["finite"] and row["found"] is row["loss"] is None


def test_numbers_of_the_toy_model_on_the_cpu():
    rows = list(numbers.numbers("cpu", tiny=True))
    assert [r["precision"] for r in rows] == ["float32", "bfloat16"]
    assert all(r["ok"] for r in rows), rows
    assert rows[0]["score"] == rows[0]["loss"] == 0.0 and rows[0]["number"] > 0
    assert rows[1]["loss"] > 0  # it was computed in another precision


def test_a_section_that_fails_leaves_the_others(monkeypatch, tmp_path, capsys):
    """In processes of their own: the table of sections does not reach them, their names do."""
    answers = iter(["", "RuntimeError: no kernel"])
    monkeypatch.setattr(check, "_error_of", lambda command, seconds: next(answers))
    arguments = ["--device", "cpu", "--tiny", "--output", str(tmp_path)]
    assert check.main([*arguments, "--only", "numbers", "pairs"]) == 1
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert result["sections"]["numbers"]["rows"] == []
    assert result["sections"]["pairs"]["error"] == "RuntimeError: no kernel"
    text = (tmp_path / "gpu.md").read_text()
    assert "**Failed**: `RuntimeError: no kernel`" in text and "## Numbers" in text
    # One section again: the other one stays.
    monkeypatch.setattr(check, "_error_of", lambda command, seconds: "")
    assert check.main([*arguments, "--only", "pairs"]) == 0
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert list(result["sections"]) == ["numbers", "pairs"]
    assert "error" not in result["sections"]["pairs"]


@pytest.mark.parametrize(
    "code, expected",
    [("", ""), ("raise SystemExit('no GPU memory')", "no GPU memory"), ("1/0", "ZeroDivision")],
)
def test_what_a_section_dies_of_is_told(code, expected):
    assert expected in check._error_of([check.sys.executable, "-c", code], 20)


def test_a_section_that_hangs_is_ended():
    command = [check.sys.executable, "-c", "import time; time.sleep(60)"]
    assert check._error_of(command, 0.2) == "not done after 0 s"


def test_without_a_gpu_the_remedy_is_named():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match="--device cpu --tiny"):
        check.main([])


def test_the_page_has_every_figure():
    speed = {"model alone": 120.04, "both": 99.96, "loader alone": 300.0}
    training = {"name": "a", "pairs": "most", "images_per_second": speed, "peak_memory_mb": 5}
    rows = {
        "numbers": [GOOD | {"config": "c", "precision": "tf32", "ok": False, "largest": 0.5}],
        "training": [training | {"parts": {"backward": 3.0, "losses": 1.0}}],
        "inference": [
            {"name": "m", "batch": 1, "images_per_second": 12.34, "peak_memory_mb": 7},
            {"name": "n", "batch": 8, "error": "OutOfMemoryError"},
        ],
        "pairs": [{"precision": "float32", "pairs": 435, "ms": 5.0, "encoder_ms": 4.0}],
    }
    rows["pairs"][0]["peak_memory_mb"] = 9
    sections = {name: {"rows": value, "seconds": 1.0} for name, value in rows.items()}
    text = page({"machine": {"torch": "2"}, "sections": sections})
    for part in (
        "**differs**",
        "120.0",
        "100.0",
        "backward 75%",
        "12.3",
        "OutOfMemoryError",
        "435",
    ):
        assert part in text
    assert "Two processes" not in text  # it was not measured


@pytest.mark.parametrize(
    "device, gpus, processes, expected",
    [
        ("cpu", 0, 2, "gloo"),
        ("cpu", 4, 2, "gloo"),  # MODEL.DEVICE cpu on a machine with GPUs
        ("cuda", 0, 2, "gloo"),
        ("cuda", 1, 2, "gloo"),  # they share it
        ("cuda", 2, 2, "nccl"),
        ("cuda:0", 4, 2, "nccl"),
    ],
)
def test_the_backend_is_that_of_the_model_s_device(monkeypatch, device, gpus, processes, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert launch.backend(device, processes) == expected


@pytest.mark.slow
def test_the_script_runs_on_a_cpu(tmp_path):
    script = Path(__file__).parents[2] / "tools" / "gpu_check.sh"
    arguments = ["--device", "cpu", "--tiny", "--minutes", "30", "--output", str(tmp_path)]
    subprocess.run(["bash", str(script), *arguments], check=True)
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert list(sections) == list(check.SECTIONS)
    assert all(section["rows"] and "error" not in section for section in sections.values())
