"""torchvision without torch's compiler."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from hoi_d2.utils import light_imports

COMPILER = (
    "counters = {'calls': 0}\ndef is_compile_supported(device_type): return device_type == 'cpu'\n"
)
IMPORTER = """
from slow_compiler import is_compile_supported
{more}
"""


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Imports a module that imports a compiler, which is not loaded before."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(light_imports, "_IMPORTER", "importer_of_the_compiler")
    monkeypatch.setattr(light_imports, "_COMPILER", "slow_compiler")
    (tmp_path / "slow_compiler.py").write_text(COMPILER)

    def run(more: str = ""):
        (tmp_path / "importer_of_the_compiler.py").write_text(IMPORTER.format(more=more))
        importlib.invalidate_caches()
        return importlib.import_module("importer_of_the_compiler")

    yield run
    for name in ("importer_of_the_compiler", "slow_compiler"):
        sys.modules.pop(name, None)


def test_the_operator_of_torchvision_works():
    """The function that is kept for later gives what the real one gives."""
    from torchvision.ops import roi_align

    module = importlib.import_module("torchvision.ops.roi_align")
    utils = importlib.import_module("torch._dynamo.utils")
    assert module.is_compile_supported("cpu") == utils.is_compile_supported("cpu")
    pooled = roi_align(torch.ones(1, 1, 4, 4), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])], 2)
    assert torch.equal(pooled, torch.ones(1, 1, 2, 2))


def test_the_compiler_waits_for_the_first_call(imported):
    module = imported()
    assert "slow_compiler" not in sys.modules
    assert module.is_compile_supported("cpu") is True
    assert "slow_compiler" in sys.modules


@pytest.mark.parametrize(
    ("more", "supported"),
    [
        ("", None),
        ("supported = is_compile_supported('cuda')", False),
        ("from slow_compiler import counters; supported = counters['calls']", 0),
    ],
)
def test_an_importer_that_wants_more_gets_the_real_one(imported, more, supported):
    module = imported(more)
    assert getattr(module, "supported", None) == supported
    assert not isinstance(sys.modules.get("slow_compiler"), light_imports._LateCompiler)


def test_an_unknown_name_is_an_import_error(imported):
    with pytest.raises(ImportError, match="no_such_name"):
        imported("from slow_compiler import no_such_name")
    assert not isinstance(sys.modules.get("slow_compiler"), light_imports._LateCompiler)


def test_it_is_registered_once():
    light_imports.load_torchvision_without_compiler()
    finders = [f for f in sys.meta_path if isinstance(f, light_imports._LightFinder)]
    assert len(finders) == 1
