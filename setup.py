"""Metadata is in pyproject.toml; this file adds what a declarative build cannot say."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Takes `configs/` along: `hoi-d2` works from a wheel in any folder."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "hoi_d2", "model_zoo", "configs")
            shutil.copytree(ROOT / "configs", target, dirs_exist_ok=True)


def version() -> str:
    text = (ROOT / "hoi_d2" / "__init__.py").read_text()
    return re.search(r'^__version__ = "(.+)"', text, re.M).group(1)


setup(
    version=version(),
    packages=find_packages(include=["hoi_d2", "hoi_d2.*"]),
    package_data={
        "": ["*.json", "*.html", "*.css", "*.js", "py.typed"],
        "hoi_d2.model_zoo": ["weights/**/*"],
    },
    cmdclass={"build_py": BuildWithConfigs},
)
