"""Loads torchvision without torch's compiler, which takes longer than all the rest of a start.

`torchvision.ops.roi_align` imports `torch._dynamo.utils` (and with it sympy) for one function that
it calls in a rare case. detectron2 imports torchvision's operators wherever its structures are
used, so that each command would pay for it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_IMPORTER = "torchvision.ops.roi_align"
_COMPILER = "torch._dynamo.utils"


class _LateCompiler(types.ModuleType):
    """Stands for `torch._dynamo.utils` while `torchvision.ops.roi_align` is loaded."""

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        """Asks the real function: the first call imports the compiler."""
        return bool(_real_compiler().is_compile_supported(device_type))

    def __getattr__(self, name: str) -> Any:
        """Gives any other name of the real module, as another torchvision may import more."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real_compiler(), name)


def _real_compiler() -> types.ModuleType:
    if isinstance(sys.modules.get(_COMPILER), _LateCompiler):
        del sys.modules[_COMPILER]
    return importlib.import_module(_COMPILER)


class _LightLoader(importlib.abc.Loader):
    """Runs another loader with the stand-in in place."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        stand_in = _LateCompiler(_COMPILER)
        sys.modules.setdefault(_COMPILER, stand_in)
        try:
            self.loader.exec_module(module)
        finally:
            if sys.modules.get(_COMPILER) is stand_in:
                del sys.modules[_COMPILER]


class _LightFinder(importlib.abc.MetaPathFinder):
    """Finds `torchvision.ops.roi_align` as Python does, and has it loaded by `_LightLoader`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _IMPORTER or _COMPILER in sys.modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _LightLoader(spec.loader)
        return spec


def load_torchvision_without_compiler() -> None:
    """Has every later import of torchvision skip torch's compiler; safe to call again."""
    if not any(isinstance(finder, _LightFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LightFinder())
