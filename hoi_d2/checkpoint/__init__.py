"""Files that hold the state of a run, and weights from everywhere."""

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.errors import WeightsError

__all__ = ["HOICheckpointer", "WeightsError"]
