"""What pyproject.toml promises: extras that can be imported, and a wheel with all its files."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = {
    extra: [Requirement(line) for line in lines]
    for extra, lines in METADATA["project"]["optional-dependencies"].items()
}


def normalised(name: str) -> str:
    return name.lower().replace("_", "-")


def files_of(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]


def test_the_extras() -> None:
    assert set(EXTRAS) == {"demo", "export", "video", "slurm", "wandb", "docs", "dev"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_can_be_imported(extra: str) -> None:
    """Each package of it, in a version that pyproject.toml allows."""
    modules: dict[str, list[str]] = {}
    for module, owners in packages_distributions().items():
        for owner in owners:
            modules.setdefault(normalised(owner), []).append(module)
    missing = []
    for requirement in EXTRAS[extra]:
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            missing.append(requirement.name)
            continue
        assert requirement.specifier.contains(found, prereleases=True), (requirement, found)
        names = [m for m in modules[normalised(requirement.name)] if m.isidentifier()]
        assert names, f"{requirement.name} has no module"
        for name in names:
            if not name.startswith("_"):
                importlib.import_module(name)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (pip install 'hoi-d2[{extra}]')")


@pytest.mark.parametrize("extra", ["docs", "dev"])
def test_the_lock_comes_from_the_same_versions(extra: str) -> None:
    group = METADATA["dependency-groups"]["dev"]
    assert set(METADATA["project"]["optional-dependencies"][extra]) <= set(group)


@pytest.mark.slow
def test_the_packages_hold_everything(tmp_path: Path) -> None:
    """Every module, config, tool and shipped weight file, and in the wheel nothing else."""
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    package = {str(p.relative_to(ROOT)) for p in files_of(ROOT / "hoi_d2")}
    package.add("hoi_d2_command.py")
    beside = {str(p.relative_to(ROOT)) for f in ("configs", "tools") for p in files_of(ROOT / f)}
    assert len(package) > 150 and len(beside) > 100
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not (package | beside) - names
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == package | {f"hoi_d2/model_zoo/{name}" for name in beside}
