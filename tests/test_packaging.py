"""What pyproject.toml promises: extras that can be imported, and a wheel with all its files."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
METADATA = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = {
    extra: [Requirement(line) for line in lines]
    for extra, lines in METADATA["project"]["optional-dependencies"].items()
}

# extra -> what its users import
BROUGHT = {
    "demo": ("gradio",),
    "pandas": ("pandas",),
    "supervision": ("supervision",),
    "export": ("onnx", "onnxruntime"),
    "video": (),  # nothing more than the package itself
    "predict": ("pyarrow",),
    "ray": ("pyarrow", "ray"),
    "slurm": ("submitit",),
    "wandb": ("wandb",),
    "docs": ("mkdocs", "material", "mkdocstrings"),
    "dev": ("codespell_lib", "hypothesis", "mypy", "pytest", "xdist", "ruff"),
}


def normalised(name: str) -> str:
    return name.lower().replace("_", "-")


def files_of(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]


def test_the_notice_travels_with_the_weights() -> None:
    """Each weight file by others is in it, with its licence and source."""
    notice = (ROOT / "NOTICE").read_text()
    others = list((ROOT / "hoi_d2/model_zoo/weights/photo").glob("nanodet*.safetensors"))
    assert others and all(str(path.relative_to(ROOT)) in notice for path in others)
    assert "Apache License" in notice and "https://github.com/RangiLyu/nanodet" in notice
    assert "NOTICE" in METADATA["project"]["license-files"]
    assert "NOTICE" in (ROOT / "MANIFEST.in").read_text().split()


def test_the_extras() -> None:
    assert set(EXTRAS) == set(BROUGHT)
    assert {extra for extra in EXTRAS if not EXTRAS[extra]} == {"video"}


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


def setup_arguments(monkeypatch: pytest.MonkeyPatch, installed: set[str]) -> dict[str, Any]:
    """What setup.py gives to setuptools where these packages are installed."""
    given: dict[str, Any] = {}

    def distribution(name: str) -> None:
        if name not in installed:
            raise PackageNotFoundError(name)

    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    runpy.run_path(str(ROOT / "setup.py"))
    return given


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (set(), "opencv-python-headless"),
        ({"opencv-python"}, "opencv-python"),
        ({"opencv-python-headless", "opencv-python"}, "opencv-python-headless"),
        ({"opencv-contrib-python"}, "opencv-contrib-python"),
    ],
)
def test_either_opencv_will_do(monkeypatch, installed, expected) -> None:
    required = [Requirement(r) for r in setup_arguments(monkeypatch, installed)["install_requires"]]
    assert [r.name for r in required if r.name.startswith("opencv")] == [expected]
    assert {"torch", "fvcore", "iopath"} <= {r.name for r in required}
    assert "dependencies" in METADATA["project"]["dynamic"]


@pytest.mark.parametrize("extra", ["docs", "dev"])
def test_the_lock_comes_from_the_same_versions(extra: str) -> None:
    group = METADATA["dependency-groups"]["dev"]
    assert set(METADATA["project"]["optional-dependencies"][extra]) <= set(group)


@pytest.mark.parametrize(
    ("repository", "package"), [("astral-sh/ruff-pre-commit", "ruff"), ("codespell", "codespell")]
)
def test_pre_commit_has_the_versions_of_the_lock(repository: str, package: str) -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    locked = re.search(rf"^{package}==(\S+)", (ROOT / "requirements.lock").read_text(), re.M)
    rev = re.search(rf"repo: \S+/{repository}\n\s+rev: v(\S+)", hooks)
    assert locked and rev and rev[1] == locked[1]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the sdist of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.mark.slow
def test_the_packages_hold_everything(archives: dict[str, Path]) -> None:
    """Every module, config, tool and shipped weight file, and in the wheel nothing else."""
    package = {str(p.relative_to(ROOT)) for p in files_of(ROOT / "hoi_d2")}
    beside = {str(p.relative_to(ROOT)) for f in ("configs",) for p in files_of(ROOT / f)}
    assert len(package) > 150 and len(beside) > 100
    with tarfile.open(archives["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not (package | beside | {"LICENSE", "NOTICE"}) - names
    names = set(zipfile.ZipFile(archives["wheel"]).namelist())
    licences = {Path(n).name for n in names if ".dist-info/licenses/" in n}
    assert licences == {"LICENSE", "NOTICE"}
    names = {n for n in names if ".dist-info/" not in n}
    assert names == package | {f"hoi_d2/model_zoo/{name}" for name in beside}


def run(*command: str | Path, folder: Path) -> str:
    """Standard output of a command that must succeed."""
    env = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # as `make demo`
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def new_environment(folder: Path) -> tuple[str, Path]:
    """uv, and the Python of an empty environment in the folder."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".uv" / "bin"))
    if uv is None:
        pytest.skip("uv is neither on PATH nor in .uv, where `make env` puts it")
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "env", folder=folder)
    return uv, folder / "env" / "bin" / "python"


@pytest.mark.slow
@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_installs_by_itself(extra: str, archives: dict[str, Path], tmp_path: Path) -> None:
    """The wheel with it, in an environment of its own, at the lock's versions where it has some."""
    uv, python = new_environment(tmp_path)
    lock = (ROOT / "requirements.lock").read_text()
    pins = tmp_path / "pins.txt"
    pins.write_text("\n".join(re.findall(r"^[^\s#]+==[^\\\n]+", lock, re.M)))
    wheel = f"hoi-d2[{extra}] @ {archives['wheel'].as_uri()}"
    run(uv, "pip", "install", "--python", python, "--constraint", pins, wheel, folder=tmp_path)
    run(uv, "pip", "check", "--python", python, folder=tmp_path)
    for module in BROUGHT[extra]:
        run(python, "-c", f"import {module}", folder=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_an_archive_runs_in_another_folder(
    kind: str, archives: dict[str, Path], tmp_path: Path
) -> None:
    """On the packages of the lock; the wheel does the whole demo."""
    uv, python = new_environment(tmp_path)
    lock = ("--require-hashes", "requirements.lock")
    run(uv, "pip", "sync", "--python", python, *lock, folder=ROOT)
    options = ("--no-deps", "--no-build-isolation")
    run(uv, "pip", "install", "--python", python, *options, archives[kind], folder=tmp_path)
    program = python.with_name("hoi-d2")
    assert str(tmp_path) in run(
        python, "-c", "print(__import__('hoi_d2').__file__)", folder=tmp_path
    )
    if kind == "sdist":
        assert "torch" in run(program, "env", folder=tmp_path)
        return
    run(program, "demo", "--output", "drawn", folder=tmp_path)
    metrics = json.loads((tmp_path / "drawn" / "metrics.json").read_text())
    assert metrics["hico_det/mAP_default_full"] > 50
    assert len(list((tmp_path / "drawn" / "images").glob("*.png"))) == 24
