"""Photographs that come with installed packages, to show what the demo does."""

from __future__ import annotations

from pathlib import Path


def example_photographs() -> list[Path]:
    """Public-domain photographs on this machine: Grace Hopper (U.S. Navy), of matplotlib's data."""
    import matplotlib

    found = [Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")]
    return [path for path in found if path.is_file()]
