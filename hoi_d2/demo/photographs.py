"""Example photographs from installed packages."""

from __future__ import annotations

from pathlib import Path


def example_photographs() -> list[Path]:
    """Returns public-domain photographs: Grace Hopper (U.S. Navy), from matplotlib's data."""
    import matplotlib

    found = [Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")]
    return [path for path in found if path.is_file()]
