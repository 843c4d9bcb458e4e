"""What the tests of the evaluators share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import hoi_d2  # noqa: F401  prepares detectron2 before a test imports it


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real annotations and reference figures."""
    folder = os.environ.get("HOI_D2_TEST_DATA")
    if not folder:
        pytest.skip("HOI_D2_TEST_DATA is not set: no real annotations to compare with")
    return Path(folder)
