"""Which model the commands run: a config, a detector of photographs, or own classes."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hoi_d2.inference.open_vocabulary import OPEN_CONFIG, open_predictor
from hoi_d2.inference.photo_detectors import photo_predictor
from hoi_d2.inference.predictor import DEFAULT_CONFIG, HOIPredictor

RANDOM_WARNING = "WARNING: random weights, the scores mean nothing: {parts}"


@dataclass(frozen=True)
class ModelChoice:
    """What a command line says about the model; it can be sent to another process.

    Args:
        config_file: None = `DEFAULT_CONFIG`, with own classes `OPEN_CONFIG`.
        detector: of `PHOTO_DETECTORS`, in front of the model of photographs; None = the config's.
        classes: phrases of the user, or text files of them; empty = the model's own.
        options: KEY, VALUE, ... overrides of the config.
    """

    config_file: str | None = None
    detector: str | None = None
    classes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def predictor(self) -> HOIPredictor:
        """The model.

        Raises:
            FileNotFoundError: a config, a weight file or a file of classes is not available.
            ValueError: weights do not fit, or classes that cannot be, or a model without room for
                them.
        """
        if self.classes:
            return open_predictor(self.classes, self.config_file or OPEN_CONFIG, self.options)
        if self.detector:
            return photo_predictor(self.detector, self.options)
        return HOIPredictor.from_config(self.config_file or DEFAULT_CONFIG, self.options)


def print_notes(predictor: HOIPredictor) -> None:
    """Says on stderr what a user has to know of the model."""
    if predictor.random_parts:
        print(RANDOM_WARNING.format(parts=", ".join(predictor.random_parts)), file=sys.stderr)
    if predictor.note:
        print(f"note: {predictor.note}", file=sys.stderr)
