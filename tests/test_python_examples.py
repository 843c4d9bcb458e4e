"""The Python blocks of README.md and of docs/images.md run as they are.

Five lines at most; what is written with detectron2's classes takes more.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hoi_d2.demo.photographs import example_photographs
from tests.test_getting_started import blocks_of

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {"to_df": "pandas", "to_supervision": "supervision"}
EXAMPLES = [
    pytest.param(code, id=f"{name}-{number}")
    for name in ("README.md", "docs/images.md")
    for number, (kind, _, code) in enumerate(blocks_of((ROOT / name).read_text()))
    if kind == "python"
]


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("code", EXAMPLES)
def test_example(code, tmp_path, monkeypatch, capsys):
    for method, module in EXTRAS.items():
        if method in code:
            pytest.importorskip(module)
    lines = [line for line in code.splitlines() if line]
    is_of_detectron2 = "DefaultPredictor" in code
    assert len(lines) <= 5 or is_of_detectron2, "five lines"
    (tmp_path / "folder").mkdir()
    for target in ("photo.jpg", "folder/photo.jpg"):
        shutil.copy(example_photographs()[0], tmp_path / target)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {})
    out = capsys.readouterr().out
    assert "tie" in out or "photo.jpg" in out or is_of_detectron2
    written = [p for p in tmp_path.rglob("*") if p.is_file() and "hoi_d2_cache" not in p.parts]
    assert len(written) == 2 + code.count(".save("), written
