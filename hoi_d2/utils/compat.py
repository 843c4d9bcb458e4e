"""The one place that knows of detectron2's, torch's and Pillow's versions.

detectron2 0.6 from the package index is pure Python: its compiled part is missing, and it predates
Pillow 10. `prepare_detectron2()`, called when `hoi_d2` is imported, closes the gaps. With a
compiled 0.6 or a current main it changes nothing.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXTENSION = "detectron2._C"
_NEEDS_COMPILER = (
    "detectron2 is installed without its compiled part (detectron2._C), which `{name}` needs. "
    "hoi_d2 does not use it; if you do, install detectron2 from source with a compiler."
)


class _MissingExtension(types.ModuleType):
    """Stands for `detectron2._C`: imports work, use of an operator raises a clear error."""

    __file__ = "not compiled"
    hoi_d2_placeholder = True

    @staticmethod
    def get_compiler_version() -> str:
        return "not compiled"

    @staticmethod
    def get_cuda_version() -> str:
        return "not compiled"

    @staticmethod
    def has_cuda() -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError(_NEEDS_COMPILER.format(name=name))

        return refuse


class _PlaceholderFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the placeholder of `detectron2._C` where no other finder has found the real one."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _EXTENSION:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=_MissingExtension.__file__)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _MissingExtension(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


def has_compiled_detectron2() -> bool:
    """Whether `detectron2._C` is the real extension."""
    return not isinstance(importlib.import_module(_EXTENSION), _MissingExtension)


def prepare_detectron2() -> None:
    """Makes `import detectron2...` work on this machine; safe to call again.

    Nothing of detectron2 is imported: the placeholder is found when it is asked for.

    Raises:
        ModuleNotFoundError: detectron2 is not installed; says how to get it.
    """
    if importlib.util.find_spec("detectron2") is None:
        raise ModuleNotFoundError(
            "detectron2 is not installed. `make env` installs it without a compiler; or install "
            "your own build: pip install --no-build-isolation "
            "'git+https://github.com/facebookresearch/detectron2'"
        )
    _restore_pillow_names()
    # A CUDA toolkit without a GPU is no fault; the log of a run says which device it is on.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    if not any(isinstance(finder, _PlaceholderFinder) for finder in sys.meta_path):
        sys.meta_path.append(_PlaceholderFinder())


def _restore_pillow_names() -> None:
    from PIL import Image

    if not hasattr(Image, "LINEAR"):  # gone since Pillow 10; detectron2 0.6 names it
        Image.LINEAR = Image.BILINEAR  # type: ignore[attr-defined]


def create_local_process_group(workers_per_machine: int) -> None:
    """Gives detectron2's `comm` its group of the ranks on this machine, in 0.6 and in main."""
    import torch
    from detectron2.utils import comm

    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(workers_per_machine)
        return
    assert comm._LOCAL_PROCESS_GROUP is None
    world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    for machine in range(world // workers_per_machine):
        ranks = list(range(machine * workers_per_machine, (machine + 1) * workers_per_machine))
        group = torch.distributed.new_group(ranks)  # every rank takes part in making every group
        if rank in ranks:
            comm._LOCAL_PROCESS_GROUP = group


def environment_report() -> list[tuple[str, str]]:
    """Lists (package, version or what is missing) for everything that the project runs on."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    def installed(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "missing"

    detectron2_package = next(
        (p for p in ("detectron2", "pb1-detectron2") if installed(p) != "missing"), "detectron2"
    )
    rows = [("python", sys.version.split()[0]), ("hoi-d2", installed("hoi-d2"))]
    rows += [("detectron2", f"{installed(detectron2_package)} ({detectron2_package})")]
    rows += [("detectron2._C", "compiled" if has_compiled_detectron2() else "none (not needed)")]
    builds = [f"opencv-{p}" for p in ("python-headless", "python")]
    builds += [f"opencv-contrib-{p}" for p in ("python-headless", "python")]
    opencv = next((p for p in builds if installed(p) != "missing"), builds[0])
    required = "torch torchvision transformers timm safetensors fvcore numpy scipy pycocotools"
    for package in [*required.split(), opencv, "pillow", "matplotlib"]:
        rows.append((package, installed(package)))
    for package in ["gradio", "onnxruntime", "pyarrow", "submitit", "wandb"]:
        rows.append((f"{package} (optional)", installed(package)))
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    rows += [("GPU", ", ".join(gpus) or "none"), ("CPU threads", str(torch.get_num_threads()))]
    rows += [("DETECTRON2_DATASETS", os.environ.get("DETECTRON2_DATASETS", "not set (./datasets)"))]
    return rows
