"""`hoi-d2 benchmark demo` and `start`: every part is measured, and nothing is left behind."""

from __future__ import annotations

import json

import pytest

from hoi_d2.benchmark import demo, start
from hoi_d2.commands.main import main
from hoi_d2.demo.photographs import example_photographs
from hoi_d2.demo.report import DemoReport
from hoi_d2.visualization import HOIImage


def test_every_part_of_the_demo_is_measured(tmp_path, capsys):
    before = HOIImage.save, DemoReport.add, demo.demo_images.read_image
    file = tmp_path / "demo.json"
    assert main(["benchmark", "demo", "--num", "3", "--rounds", "1", "--json", str(file)]) == 0
    assert (HOIImage.save, DemoReport.add, demo.demo_images.read_image) == before
    result = json.loads(file.read_text())
    expected = {"decode", "detector", "pairs", "head", "drawing", "writing", "results", "the rest"}
    for kind in ("clock", "cpu"):
        assert expected <= set(result["parts"][kind])
        assert sum(result["shares"][kind].values()) == pytest.approx(1)
        assert all(result["parts"][kind][part] > 0 for part in expected)
    assert result["images"] == 3
    total = sum(result["parts"]["clock"].values())
    assert result["images_per_second"] == pytest.approx(1 / total)
    assert "images/s, drawing and writing" in capsys.readouterr().out


def test_fewer_images_are_repeated(tmp_path):
    photographs = example_photographs()
    links = demo.repeated(photographs, 3, tmp_path / "links")
    assert [link.name for link in links] == ["0.jpg", "1.jpg", "2.jpg"]
    assert {link.resolve() for link in links} == {photographs[0].resolve()}


def test_starting_is_measured_in_other_processes():
    busy = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    commands = {start.BASE: ["-c", ""], "busy": ["-c", busy], "asleep": ["-c", busy[:11]]}
    result = start.benchmark(commands, rounds=1)
    seconds = result["cases"]
    assert seconds["busy"]["cpu"] > 0.3 > seconds["asleep"]["cpu"]
    assert "busy" in start.table(result)


def test_the_cases_of_starting():
    commands = start.cases("photo.jpg", "out")
    assert start.BASE in commands and commands["hoi-d2 demo photo.jpg"][2:4] == [
        "demo",
        "photo.jpg",
    ]
