"""GETTING_STARTED.md is run, block by block, in the order of the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(bash|python)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
USED = ("tools", "configs", "projects", "datasets")


def blocks_of(text: str) -> list[tuple[str, str, str]]:
    """(language, file to save it as or "", code) of each block that can be run."""
    return [(kind, name, code) for kind, name, code in FENCE.findall(text)]


def run(kind: str, code: str, folder: Path) -> subprocess.CompletedProcess:
    command = ["bash", "-euc", code] if kind == "bash" else [sys.executable, "-c", code]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("", []),
        ("```\nplain\n```\n", []),
        ("```bash\nls\n```\n", [("bash", "", "ls\n")]),
        ("```python file=a.py\n1\n```\ntext\n```bash\nls\n```\n",
         [("python", "a.py", "1\n"), ("bash", "", "ls\n")]),
    ],
)  # fmt: skip
def test_blocks(text, blocks):
    assert blocks_of(text) == blocks


@pytest.mark.slow
def test_every_block_runs(tmp_path):
    for name in USED:
        (tmp_path / name).symlink_to(ROOT / name)
    blocks = blocks_of((ROOT / "GETTING_STARTED.md").read_text())
    assert len(blocks) > 10
    for kind, name, code in blocks:
        if name:
            (tmp_path / name).write_text(code)
            continue
        done = run(kind, code, tmp_path)
        assert done.returncode == 0, f"{code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert (tmp_path / "output/start/found/hoi_results.json").exists()
    assert (tmp_path / "output/start/curves.png").exists()
    assert (tmp_path / "output/start/my_model/model_final.pth").exists()
