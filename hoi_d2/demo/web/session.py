"""What the web page does, without the page: uploads checked, models kept, errors in words."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.data.decoding import orientation
from hoi_d2.data.images import ImageFileError, image_error, read_image
from hoi_d2.inference.choice import RANDOM_WARNING
from hoi_d2.inference.prediction import HOIPrediction
from hoi_d2.inference.predictor import HOIPredictor

logger = logging.getLogger(__name__)

MEGA, MEGABYTE = 1_000_000, 1024 * 1024
MAX_CLASSES, MAX_CLASS_LENGTH = 200, 100
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
"""What is decoded of strangers: Pillow gives PostScript, for one, to a program outside."""


_SEVERAL_VIEWS = ("MPO", "TIFF")
"""Files whose further images are views or pages of it, as those of a phone: no animations."""


class UploadError(ValueError):
    """What is wrong with an uploaded file, in words for who uploaded it."""


@dataclass(frozen=True)
class Limits:
    """What an upload may have.

    Args:
        megabytes: of the file, 1024 * 1024 bytes each.
        megapixels: of the image, a million each.

    Raises:
        ValueError: one is not above 0.
    """

    megabytes: float = 20.0
    megapixels: float = 40.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"the largest number of {name} must be above 0, got {value:g}")

    @property
    def bytes(self) -> int:
        """The largest file."""
        return int(self.megabytes * MEGABYTE)

    @property
    def words(self) -> str:
        """For who uploads."""
        return f"at most {self.megabytes:g} MB and {self.megapixels:g} million pixels"


@dataclass(frozen=True)
class Found:
    """What the page keeps of an upload.

    Args:
        prediction: everything that the model found.
        remark: what was done to the image, and by which model; for the status line.
        warning: what a user has to know of the scores, "" = nothing.
    """

    prediction: HOIPrediction
    remark: str
    warning: str = ""


def read_upload(path: str | os.PathLike, *, limits: Limits) -> tuple[np.ndarray, str]:
    """The pixels of an upload, and what was done to it.

    Args:
        path: of the file.
        limits: what is larger is refused before it is decoded.

    Returns:
        (H, W, 3) RGB and a remark, "" for an ordinary image.

    Raises:
        UploadError: no image, damaged or too large; names no folder of the server.
    """
    try:
        try:
            size = os.path.getsize(path)
        except OSError as error:
            raise UploadError("the file no longer exists: upload it again") from error
        if size > limits.bytes:
            raise UploadError(
                f"the file has {size / MEGABYTE:.1f} MB, at most {limits.megabytes:g} are "
                "accepted: make the image smaller, or save it as JPEG"
            )
        _check_header(path, limits)
        image = read_image(path)
    except ImageFileError as error:
        raise UploadError(_in_words(error, path, limits)) from error
    return image, _remark(path)


def _check_header(path: str | os.PathLike, limits: Limits) -> None:
    """Refuses by format and size; Pillow decodes a PNG already to look for EXIF data."""
    try:
        with Image.open(path) as image:
            form, (width, height) = image.format, image.size
    except Exception as error:  # decoders raise many kinds of errors on a broken file
        what = f"{type(error).__name__}: {error}"
        raise image_error(os.fspath(path), "header", what, "an image") from error
    if form not in FORMATS:
        raise UploadError(f"{form} files are not accepted: save the image as JPEG")
    if height * width > limits.megapixels * MEGA:
        raise UploadError(
            f"the image has {width} x {height} pixels, at most {limits.megapixels:g} million "
            "are accepted: make it smaller"
        )


def _in_words(error: ImageFileError, path: str | os.PathLike, limits: Limits) -> str:
    what = str(error.problems[0].value)
    if "DecompressionBomb" in what:
        return (
            f"the image has far too many pixels, at most {limits.megapixels:g} million are "
            "accepted: make it smaller"
        )
    if "UnidentifiedImage" in what:
        return "the file is not an image of a known format"
    if "truncated" in what or "Truncated" in what:
        return "the image is cut off or damaged"
    return f"the image cannot be read ({what.replace(os.fspath(path), 'the file')})"


def _remark(path: str | os.PathLike) -> str:
    with Image.open(path) as image:
        frames = 1 if image.format in _SEVERAL_VIEWS else _frames(image)
        remarks = {
            f"of an animation with {frames} images the first one": frames > 1,
            "turned as its EXIF data says": orientation(image) != 1,
            f"converted from {image.mode}": image.mode not in ("RGB", "RGBA", "L", "P", "1"),
        }
    return ", ".join(text for text, applies in remarks.items() if applies)


def _frames(image: Image.Image) -> int:
    """How many images a file has, as far as it is not damaged."""
    try:
        return getattr(image, "n_frames", 1)
    except Exception:  # the first one has been read, and the decoders of others raise anything
        return 1


class WebSession:
    """Models that were asked for, loaded once, and one image at a time through them.

    Args:
        load: name of a model -> predictor.
        limits: of uploads.
        load_open: classes in words -> predictor; None = no classes of one's own.
    """

    def __init__(
        self,
        load: Callable[[str], HOIPredictor],
        *,
        limits: Limits | None = None,
        load_open: Callable[[Sequence[str]], HOIPredictor] | None = None,
    ) -> None:
        self.load, self.load_open, self.limits = load, load_open, limits or Limits()
        self._predictors: dict[str, HOIPredictor] = {}
        self._open: tuple[tuple[str, ...], HOIPredictor] | None = None
        self._lock = threading.Lock()

    def predictor(self, model: str) -> HOIPredictor:
        """The model of that name."""
        if model not in self._predictors:
            self._predictors[model] = self.load(model)
        return self._predictors[model]

    def open_predictor(self, classes: Sequence[str]) -> HOIPredictor:
        """The model for classes in words; the last one is kept.

        Raises:
            UploadError: these cannot be classes.
        """
        if self.load_open is None:
            raise UploadError("classes of your own are not offered here")
        if self._open is None or self._open[0] != tuple(classes):
            _check_classes(classes)
            try:
                self._open = tuple(classes), self.load_open(classes)
            except ValueError as error:
                text = str(error).removeprefix("--classes: ")
                raise UploadError(f"the classes cannot be used ({text})") from error
        return self._open[1]

    def analyse(self, path: str | os.PathLike, model: str, classes: Sequence[str] = ()) -> Found:
        """What the model finds in an upload.

        Args:
            path: of the upload.
            model: its name.
            classes: in words; where there are any, they take the model's place.

        Raises:
            UploadError: the image, the classes or the model cannot be used, or the model failed;
                what nobody has foreseen is in the log as well.
        """
        image, remark = read_upload(path, limits=self.limits)
        name = "the model for classes of your own" if classes else f"the model {model}"
        try:
            with self._lock:
                predictor = self.open_predictor(classes) if classes else self.predictor(model)
                prediction = predictor(image[:, :, ::-1])
        except UploadError:
            raise
        except Exception as error:  # a page that stands still tells nobody anything
            raise UploadError(_failure(error, name)) from error
        parts = ", ".join(predictor.random_parts)
        number = "1 class" if len(classes) == 1 else f"{len(classes)} classes"
        asked = f"{number} of your own" if classes else f"model {model}"
        return Found(
            prediction,
            ". ".join(filter(None, [asked, remark[:1].upper() + remark[1:]])),
            RANDOM_WARNING.format(parts=parts) if parts else predictor.note,
        )


def _check_classes(classes: Sequence[str]) -> None:
    """Raises UploadError for what the command line would take and a visitor must not give."""
    if len(classes) > MAX_CLASSES or max(map(len, classes)) > MAX_CLASS_LENGTH:
        raise UploadError(
            f"at most {MAX_CLASSES} classes of {MAX_CLASS_LENGTH} letters each are accepted"
        )
    for name in classes:
        if name.endswith(".txt"):  # `--classes` would read that file of the server
            raise UploadError(f"{name} is a file's name; write the classes here, one on each line")


def _failure(error: Exception, name: str) -> str:
    """Why a model gave nothing, for who uploaded an image."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error).rstrip(".")
    if isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text:
        return f"there is not enough memory for {name} with this image: make the image smaller"
    if isinstance(error, (KeyError, ValueError, OSError, ImportError, WeightsError)):
        return f"{name} cannot be used: {text}"
    logger.exception("%s failed", name)
    return f"{name} failed ({type(error).__name__}); the log of the server says more"
