"""Which model the commands run: a name, a config, a detector of photographs, or own classes."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a wrong option is answered before torch is imported
    from hoi_d2.inference.predictor import HOIPredictor

RANDOM_WARNING = "WARNING: random weights, the scores mean nothing: {parts}"


@dataclass(frozen=True)
class ModelChoice:
    """What a command line says about the model; it can be sent to another process.

    Args:
        model: a name as for `HOIPredictor`; None = `config_file` or the default.
        config_file: None = `DEFAULT_CONFIG`, with own classes `OPEN_CONFIG`.
        detector: of `PHOTO_DETECTORS`, in front of the photo model; None = the config's.
        classes: phrases of the user, or text files of them; empty = the model's own.
        options: KEY, VALUE, ... overrides of the config.
        device, batch_size, half: of `HOIPredictor`.
    """

    model: str | None = None
    config_file: str | None = None
    detector: str | None = None
    classes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    device: str | None = None
    batch_size: int = 8
    half: bool = False

    def decides(self) -> dict[str, Any]:
        """Returns what the results depend on: all but where and how many at a time."""
        return {k: v for k, v in asdict(self).items() if k not in ("device", "batch_size")}

    def predictor(self) -> HOIPredictor:
        """Builds the model.

        Raises:
            FileNotFoundError: a config, a weight file or a file of classes is not available.
            ValueError: the weights do not fit, the classes are invalid, or the model has fixed
                classes.
        """
        from hoi_d2.inference.open_vocabulary import OPEN_CONFIG, open_predictor
        from hoi_d2.inference.photo_detectors import photo_predictor
        from hoi_d2.inference.predictor import DEFAULT_CONFIG, HOIPredictor

        settings: dict[str, Any] = {
            "device": self.device,
            "batch_size": self.batch_size,
            "half": self.half,
        }
        if self.classes:
            model = self.model or self.config_file or OPEN_CONFIG
            return open_predictor(self.classes, model, self.options, **settings)
        if self.detector:
            return photo_predictor(self.detector, self.options, **settings)
        if self.model:
            return HOIPredictor(self.model, self.options, **settings)
        config = self.config_file or DEFAULT_CONFIG
        return HOIPredictor.from_config(config, self.options, **settings)


def print_notes(predictor: HOIPredictor) -> None:
    """Prints to stderr what a user has to know of the model."""
    if predictor.random_parts:
        print(RANDOM_WARNING.format(parts=", ".join(predictor.random_parts)), file=sys.stderr)
    if predictor.note:
        print(f"note: {predictor.note}", file=sys.stderr)
