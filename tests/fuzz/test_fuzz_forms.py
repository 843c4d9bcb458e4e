"""Damaged files of every form load or are named; `make fuzz` tries many more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.form import Form
from tests.fuzz.forms import FORMS
from tests.fuzz.runner import answer, run_form


def sound(form: Form, folder: Path) -> list[Path]:
    """The undamaged samples of a form, each in its own folder."""
    files = []
    for number, sample in enumerate(form.samples()):
        file = folder / str(number) / form.file
        file.parent.mkdir()
        if form.beside:
            form.beside(file.parent)
        content = sample if isinstance(sample, bytes) else form.encode(sample, Random(0))
        file.write_bytes(form.seal(content) if isinstance(sample, bytes) and form.seal else content)
        files.append(file)
    return files


@pytest.mark.parametrize("name", FORMS)
def test_undamaged_samples_load(name, tmp_path):
    for file in sound(FORMS[name], tmp_path):
        kind, said = answer(FORMS[name].read, file)
        assert kind == ("named" if name.startswith("HOI-A") else "loads"), said


CASES = Path(__file__).with_name("cases")
FOUND = json.loads((CASES / "cases.json").read_text())


@pytest.mark.parametrize("case", FOUND, ids=[case["file"] for case in FOUND])
def test_what_was_found(case, tmp_path):
    """Files that once ended in an error of Python, with their right answer."""
    form = FORMS[case["form"]]
    if form.beside:
        form.beside(tmp_path)
    shutil.copyfile(CASES / case["file"], tmp_path / form.file)
    kind, said = answer(form.read, tmp_path / form.file)
    assert kind == case["answer"], said
    assert case["says"] in said


@pytest.mark.parametrize("name", FORMS)
def test_damaged_files_load_or_are_named(name):
    found = run_form(FORMS[name], 0, FORMS[name].suite)
    assert found.counts.total() == FORMS[name].suite
    assert not found.failures
