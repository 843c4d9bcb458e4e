"""What can be wrong with a file of weights or with a run's checkpoints."""

from __future__ import annotations

from hoi_d2.utils.user_errors import UserError


class WeightsError(UserError, RuntimeError):
    """Weights that cannot be read or do not fit; names the file, the keys and what to do."""


class UnreadableFileError(WeightsError):
    """A file that is cut off or changed, or that holds more than weights."""


class CheckpointError(UserError, RuntimeError):
    """A checkpoint that a run cannot continue from; says why, and what to do."""


class CorruptCheckpointError(CheckpointError):
    """There are checkpoints, and none of them can be read."""


class FrozenWeightsError(CheckpointError):
    """The frozen weights are not those that the checkpoint was trained on."""


class OtherModelError(CheckpointError):
    """The checkpoint is of a model with other parts or widths."""
