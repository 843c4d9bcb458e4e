"""Metadata is in pyproject.toml; this file adds what a declarative build cannot say."""

import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# detectron2 is not listed: whoever has a build of their own (0.6 or main) keeps it, and the lock
# file brings the pure-Python package for everyone else (INSTALL.md). fvcore and iopath are packages
# of detectron2 that hoi_d2 needs as well.
DEPENDENCIES = [
    "torch>=2.4",
    "torchvision>=0.19",
    "transformers>=5.0",
    "timm>=1.0",
    "safetensors>=0.4",
    "huggingface_hub>=0.24",
    "fvcore>=0.1.5",
    "iopath>=0.1.9",
    "numpy>=1.26",
    "scipy>=1.11",
    "pycocotools>=2.0.7",
    "Pillow>=10",
    "matplotlib>=3.8",
    "tabulate>=0.9",
    "tqdm>=4.66",
]
OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)
"""The builds of OpenCV on the index: one `cv2`, of which only one should be installed."""


class BuildWithConfigs(build_py):
    """Takes `configs/` along: `hoi-d2` works from a wheel in any folder."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "hoi_d2", "model_zoo", "configs")
            shutil.copytree(ROOT / "configs", target, dirs_exist_ok=True)


def opencv() -> str:
    """The build that is installed here, else the one without windows.

    pip builds in an environment of its own, which shows it nothing: with `opencv-python`, install
    with `--no-build-isolation` (INSTALL.md).
    """
    return f"{next(filter(is_installed, OPENCV), OPENCV[0])}>=4.8"


def is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def version() -> str:
    text = (ROOT / "hoi_d2" / "__init__.py").read_text()
    return re.search(r'^__version__ = "(.+)"', text, re.M).group(1)


setup(
    version=version(),
    install_requires=[*DEPENDENCIES, opencv()],
    packages=find_packages(include=["hoi_d2", "hoi_d2.*"]),
    package_data={
        "": ["*.json", "*.html", "*.css", "*.js", "py.typed"],
        "hoi_d2.model_zoo": ["weights/**/*"],
    },
    cmdclass={"build_py": BuildWithConfigs},
)
