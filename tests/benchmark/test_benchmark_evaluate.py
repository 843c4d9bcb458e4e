"""`tools/benchmark.py evaluate` on random data."""

from __future__ import annotations

import json

import pytest

from hoi_d2.benchmark import evaluate as benchmark
from hoi_d2.commands.main import main


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.delenv("HOI_D2_TEST_DATA", raising=False)
    monkeypatch.setattr(benchmark._random_records, "__defaults__", (30, 4, 0))
    return lambda argv: main(["benchmark", *argv])


def test_evaluate(tool, tmp_path, capsys):
    path = tmp_path / "b.json"
    assert tool(["evaluate", "--factors", "1", "2", "--json", str(path)]) == 0
    runs = json.loads(path.read_text())["hico_det"]
    assert [r["factor"] for r in runs] == [1, 2]
    assert runs[1]["detections"] == 2 * runs[0]["detections"] > 0
    # twice the same data has the same precision and recall
    assert runs[0]["metrics"]["recall_full"] == pytest.approx(runs[1]["metrics"]["recall_full"])
    assert {"ground truth, image labels", "check results", "score"} < set(runs[0]["parts"]["cpu"])
    assert runs[0]["total_cpu_seconds"] == pytest.approx(sum(runs[0]["parts"]["cpu"].values()))
    assert "peak memory" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["fly"]])
def test_an_unknown_benchmark_says_so(tool, arguments, capsys):
    assert tool(arguments) == 2
    assert "error:" in capsys.readouterr().err
