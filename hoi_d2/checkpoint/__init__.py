"""Files that hold the state of a run, and weights from everywhere."""

from hoi_d2.checkpoint.hoi_checkpointer import HOICheckpointer, LoadReport
from hoi_d2.checkpoint.weight_files import WeightsError

__all__ = ["HOICheckpointer", "LoadReport", "WeightsError"]
