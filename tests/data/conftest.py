"""What the tests of the data part share: real annotations, and small files in official forms."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import hoi_d2  # noqa: F401  prepares detectron2 before a test imports it


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real annotations and images."""
    folder = os.environ.get("HOI_D2_TEST_DATA")
    if not folder:
        pytest.skip("HOI_D2_TEST_DATA is not set: no real annotations to compare with")
    return Path(folder)


@pytest.fixture
def write_json(tmp_path):
    """Writes an object as JSON and returns the path."""

    def write(data: object, name: str = "data.json") -> Path:
        file = tmp_path / name
        file.write_text(json.dumps(data))
        return file

    return write
