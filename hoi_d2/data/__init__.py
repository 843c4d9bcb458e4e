"""Datasets: start with `open_dataset`, the way from a name or a file to records and vocabulary."""

from hoi_d2.data.dataset import Dataset, open_dataset

__all__ = ["Dataset", "open_dataset"]
