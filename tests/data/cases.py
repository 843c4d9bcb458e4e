"""Inputs that once went wrong, kept next to the real data: `$HOI_D2_TEST_DATA/../cases`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def case(name: str) -> Path:
    """A file of the folder of cases; the test is skipped where there is none."""
    folder = os.environ.get("HOI_D2_TEST_DATA")
    if not folder:
        pytest.skip("HOI_D2_TEST_DATA is not set: no folder of cases next to it")
    file = Path(folder).parent / "cases" / name
    if not file.is_file():
        pytest.skip(f"no {file}")
    return file
