"""What can be wrong with a file of weights or with a run's checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hoi_d2.utils.user_errors import UserError


class WeightsError(UserError, RuntimeError):
    """Weights that cannot be read or do not fit; names the file, the keys and what to do."""


class UnreadableFileError(WeightsError):
    """A file that is cut off or changed, or that holds more than weights."""


class MissingFileError(WeightsError, FileNotFoundError):
    """A file that another file of weights needs next to it."""


class CheckpointError(UserError, RuntimeError):
    """A checkpoint that a run cannot continue from; says why, and what to do."""


class CorruptCheckpointError(CheckpointError):
    """There are checkpoints, and none of them can be read."""


class FrozenWeightsError(CheckpointError):
    """The frozen weights are not those that the checkpoint was trained on."""


class OtherModelError(CheckpointError):
    """The checkpoint is of a model with other parts or widths."""


@contextmanager
def other_shapes_named(source: str) -> Iterator[None]:
    """Turns what torch says of a weight that has another shape than its name tells into one line.

    Args:
        source: of the weights, for the message.

    Raises:
        WeightsError: instead of torch's error.
    """
    try:
        yield
    except WeightsError:
        raise
    except (RuntimeError, IndexError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsError(
            f"{source} is damaged or of another model: a weight has not the shape that belongs to "
            f"its name ({what})"
        ) from error
