"""`MODEL.IMPORTS`: modules and files that are imported with the config."""

import sys

import pytest

from hoi_d2.config.imports import import_modules
from hoi_d2.config.load import ConfigError, load_config

CODE = "with open('runs', 'a') as file:\n    file.write('x')\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("own_", "hoi_d2_import_")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("names", "runs"),
    [
        ([], 0),
        (["own_module"], 1),
        (["own_module", "own_module"], 1),
        (["own_module.py"], 1),
        (["own_module.py", "./own_module.py"], 1),
        (["own_module.py", "own_other.py"], 2),
    ],
)
def test_each_is_imported_once(folder, names, runs):
    for name in ("own_module.py", "own_other.py"):
        (folder / name).write_text(CODE)
    (folder / "runs").write_text("")
    import_modules(names)
    assert (folder / "runs").read_text() == "x" * runs


def test_a_file_that_failed_is_tried_again(folder):
    (folder / "own_broken.py").write_text("import own_nothing")
    for _ in range(2):
        with pytest.raises(ImportError, match="own_nothing"):
            import_modules(["own_broken.py"])


def test_a_config_imports_them(folder):
    (folder / "own_module.py").write_text(CODE)
    load_config("", ["MODEL.IMPORTS", ["own_module.py"]])
    assert (folder / "runs").read_text() == "x"


@pytest.mark.parametrize("name", ["own_nothing", "own_nothing.py"])
def test_what_cannot_be_imported_is_named(name):
    with pytest.raises(ConfigError, match=rf"MODEL\.IMPORTS \['{name}'\]: "):
        load_config("", ["MODEL.IMPORTS", [name]])
