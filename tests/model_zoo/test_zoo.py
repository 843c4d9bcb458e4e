"""MODEL_ZOO.md, zoo.json, configs and shipped weights say the same."""

from __future__ import annotations

import hashlib
import json
import runpy

import pytest

from hoi_d2.model_zoo import model_names, pretrained_weights, shipped_weights

TOOL = runpy.run_path("tools/make_model_zoo.py")
ZOO = json.loads(TOOL["ZOO"].read_text())
ROWS = [row for section in ZOO.values() for row in section["rows"]]


@pytest.mark.parametrize(
    ("section", "table"),
    [
        ({"columns": {"ours": "ours"}, "rows": []}, "| config | ours |\n|---|---|\n"),
        (
            {"columns": {"ours": "mAP"}, "needs": "data", "rows": [{"config": "a", "ours": None}]},
            "| config | mAP |\n|---|---|\n| `a` | not trained yet: needs data |\n",
        ),
        (
            {"columns": {"ours": "mAP"}, "rows": [{"config": "a", "ours": 1.5}]},
            "| config | mAP |\n|---|---|\n| `a` | 1.5 |\n",
        ),
        (
            {
                "columns": {"parameters": "M", "step": "s / MB", "weights": "weights"},
                "measured_on": "a core",
                "rows": [
                    {
                        "config": "a",
                        "parameters": {"all": 2_460_000, "trained": 0},
                        "step": {"cpu_seconds": 1.25, "peak_memory_mb": 900},
                        "weights": "hoi_d2://a.safetensors",
                        "sha256": "0123456789",
                    },
                    {"config": "b", "step": None},
                ],
            },
            "| config | M | s / MB | weights |\n|---|---|---|---|\n"
            "| `a` | 2.5 / 0.0 | 1.2 / 900 | SHA-256 `01234567` |\n| `b` | unknown |  |  |\n\n"
            "A step was measured on a core.\n",
        ),
    ],
)
def test_table(section, table):
    assert TOOL["table_of"](section) == table


def test_a_table_that_one_side_lacks():
    with pytest.raises(KeyError, match="other"):
        TOOL["filled"]("<!-- zoo: a -->\n<!-- end -->", {"other": {"columns": {}, "rows": []}})


def test_the_page_is_what_the_file_says():
    page = TOOL["PAGE"].read_text()
    assert TOOL["filled"](page, ZOO) == page, "python tools/make_model_zoo.py"


def test_a_table_is_copied_from_a_project(tmp_path, monkeypatch):
    monkeypatch.setitem(TOOL["filled"].__globals__, "ROOT", tmp_path)
    (tmp_path / "a.md").write_text("<!-- x y -->\n| 1 |\n<!-- end of x y -->\n| 2 |\n")
    page = "0\n<!-- copy: a.md, x y -->\nold\n<!-- end -->\n3\n"
    assert TOOL["filled"](page, {}) == page.replace("old", "| 1 |")
    with pytest.raises(KeyError, match=r"a\.md has no table 'z'"):
        TOOL["filled"](page.replace("x y", "z"), {})


def test_the_evidence_has_the_tables_of_the_projects():
    page = TOOL["EVIDENCE"].read_text()
    assert TOOL["filled"](page, {}) == page, "python tools/make_model_zoo.py"


def test_the_readme_has_what_runs_at_once():
    page, tables = TOOL["README"].read_text(), TOOL["short"](ZOO)
    assert TOOL["filled"](page, tables) == page, "python tools/make_model_zoo.py"
    names = [row["config"].removesuffix(".yaml") for row in tables["ready"]["rows"]]
    assert "toy/rmlr" in names and "toy/defr_det" in names
    assert {name for name in model_names() if pretrained_weights(name)} <= set(names)


def test_every_config_is_in_the_zoo_once():
    assert sorted(row["config"] for row in ROWS) == sorted(f"{n}.yaml" for n in model_names())


def test_weights_are_the_shipped_ones():
    for row in ROWS:
        path = pretrained_weights(row["config"].removesuffix(".yaml"))
        assert row.get("weights") == path, row["config"]
        if path:
            content = shipped_weights(path).read_bytes()
            assert row["sha256"] == hashlib.sha256(content).hexdigest()
