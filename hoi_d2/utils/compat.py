"""Handles differences between versions of detectron2, torch and Pillow.

detectron2 0.6 from the package index is pure Python: its compiled part is missing, and it is older
than Pillow 10. `prepare_detectron2()`, called when `hoi_d2` is imported and before any import of
detectron2, adds what is missing; with a compiled 0.6 or a current main it changes nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from typing import Any

import torch

_NEEDS_COMPILER = (
    "detectron2 is installed without its compiled part (detectron2._C), which `{name}` needs. "
    "hoi_d2 does not use it; install detectron2 from source with a compiler if you do."
)


class _MissingExtension(types.ModuleType):
    """Placeholder of `detectron2._C`: imports work, calling an operator raises a clear error."""

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


def has_compiled_detectron2() -> bool:
    """Whether `detectron2._C` is the real extension."""
    module = sys.modules.get("detectron2._C")
    if module is not None:
        return not getattr(module, "hoi_d2_placeholder", False)
    try:
        importlib.import_module("detectron2._C")
    except ImportError:
        return False
    return True


def prepare_detectron2() -> None:
    """Makes `import detectron2...` work on this machine; safe to call again.

    Raises:
        ModuleNotFoundError: detectron2 is not installed; the message says how to install it.
    """
    if importlib.util.find_spec("detectron2") is None:
        raise ModuleNotFoundError(
            "detectron2 is not installed. `make env` installs it without a compiler; or install "
            "your own build: pip install --no-build-isolation "
            "'git+https://github.com/facebookresearch/detectron2'"
        )
    _restore_pillow_names()
    if not has_compiled_detectron2():
        import detectron2

        placeholder = _MissingExtension("detectron2._C")
        sys.modules["detectron2._C"] = placeholder
        detectron2._C = placeholder


def _restore_pillow_names() -> None:
    from PIL import Image

    if not hasattr(Image, "LINEAR"):  # removed in Pillow 10; detectron2 0.6 uses it
        Image.LINEAR = Image.BILINEAR  # type: ignore[attr-defined]


def create_local_process_group(workers_per_machine: int) -> None:
    """Creates the group of ranks on this machine for detectron2's `comm`, in 0.6 and in main."""
    from detectron2.utils import comm

    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(workers_per_machine)
        return
    assert comm._LOCAL_PROCESS_GROUP is None
    world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    for machine in range(world // workers_per_machine):
        ranks = list(range(machine * workers_per_machine, (machine + 1) * workers_per_machine))
        group = torch.distributed.new_group(ranks)  # all ranks must create all groups
        if rank in ranks:
            comm._LOCAL_PROCESS_GROUP = group


def environment_report() -> list[tuple[str, str]]:
    """(name, version or "missing") of the packages and devices that the project uses."""
    from importlib.metadata import PackageNotFoundError, version

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
    required = "torch torchvision transformers timm safetensors numpy scipy pycocotools"
    for package in [*required.split(), "opencv-python-headless", "pillow", "matplotlib"]:
        rows.append((package, installed(package)))
    for package in ["gradio", "onnxruntime", "submitit", "wandb"]:
        rows.append((f"{package} (optional)", installed(package)))
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    rows += [("GPU", ", ".join(gpus) or "none"), ("CPU threads", str(torch.get_num_threads()))]
    rows += [("DETECTRON2_DATASETS", os.environ.get("DETECTRON2_DATASETS", "not set (./datasets)"))]
    return rows
