"""Damaged .mat files: the parser may crash, this process does not."""

from __future__ import annotations

import numpy as np
import pytest
from cases import case
from scipy.io import savemat

from hoi_d2.data.datasets import mat
from hoi_d2.data.datasets.mat import load_mat, mat_variables
from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.data.validation import validate_file


def test_variables(tmp_path):
    file = tmp_path / "x.mat"
    savemat(file, {})
    assert mat_variables(file) == []
    savemat(file, {"a": np.arange(6.0).reshape(2, 3), "b": "text", "c": {"d": [1, 2]}})
    assert mat_variables(file) == ["a", "b", "c"]
    found = load_mat(file, ["c", "a"])
    assert list(found) == ["c", "a"] and (found["a"] == [[0, 1, 2], [3, 4, 5]]).all()
    assert mat.numbers(mat.member(mat.elements(found["c"])[0], "d")).tolist() == [1, 2]
    with pytest.raises(DataFormatError, match=r"'a', 'b', 'c'.; expected a variable e"):
        load_mat(file, ["a", "e"])
    with pytest.raises(FileNotFoundError):
        mat_variables(tmp_path / "none.mat")


@pytest.mark.parametrize("content", [b"", b"MATLAB", b"MATLAB 5.0 MAT-file" + b"\0" * 200])
def test_damaged(tmp_path, content):
    file = tmp_path / "x.mat"
    file.write_bytes(content)
    for read in (mat_variables, lambda path: load_mat(path, ["a"])):
        with pytest.raises(DataFormatError, match=r"x\.mat: (content|variables) = "):
            read(file)


def test_a_crash_is_an_error(tmp_path, monkeypatch):
    """The process that parses ends by a signal."""
    file = tmp_path / "x.mat"
    savemat(file, {"a": 1})
    crash = [mat.sys.executable, "-c", "import os; os.abort()"]
    run = mat.subprocess.run
    monkeypatch.setattr(mat.subprocess, "run", lambda command, **more: run(crash, **more))
    with pytest.raises(DataFormatError, match="the parser crashed"):
        load_mat(file, ["a"])


CRASHES = ["crash_anno_bbox_mat_141", "crash_anno_mat_228", "crash_mpii_mat_616"]


@pytest.mark.parametrize("name", CRASHES)
def test_case(name):
    report = validate_file(case(f"hostile/{name}.mat"))
    assert not report.is_sound
    assert name in str(report.problems[0])
