import pytest
import torch

import hoi_d2  # noqa: F401  prepares detectron2 before a test imports it


@pytest.fixture(autouse=True, scope="session")
def tiny_world():
    """Registers the tiny datasets; one thread, as several test runs share a machine."""
    from tests.engine import tiny

    torch.set_num_threads(1)
    tiny.register()
