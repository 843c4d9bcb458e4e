"""What the web page does, without the page: uploads checked, models kept, pictures redrawn."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hoi_d2.checkpoint.weight_files import WeightsError
from hoi_d2.data.images import ImageFileError, image_size, read_image
from hoi_d2.engine.demo_report import DrawOptions
from hoi_d2.engine.prediction import HOIPrediction
from hoi_d2.engine.predictor import HOIPredictor
from hoi_d2.visualization import HOIVisualizer

COLUMNS = ("#", "verb", "object", "score", "human box", "object box")
_DIMMED = 0.35


class UploadError(ValueError):
    """What is wrong with an uploaded file, in words for who uploaded it."""


@dataclass(frozen=True)
class View:
    """What the page shows.

    Args:
        picture: (H, W, 3) RGB.
        rows: one a triplet, `COLUMNS`.
        json: the triplets, for download.
        status: a line.
    """

    picture: np.ndarray
    rows: list[list]
    json: str
    status: str


def read_upload(path: str | os.PathLike, *, max_pixels: int) -> tuple[np.ndarray, str]:
    """The pixels of an upload, and what was done to it.

    Args:
        path: of the file.
        max_pixels: pictures with more are refused before they are decoded.

    Returns:
        (H, W, 3) RGB and a remark, "" for an ordinary picture.

    Raises:
        UploadError: no picture, damaged or too large; names no folder of the server.
    """
    try:
        height, width = image_size(path)
        if height * width > max_pixels:
            raise UploadError(
                f"the picture has {width} x {height} pixels; at most {max_pixels / 1e6:.0f} "
                "million are accepted"
            )
        picture = read_image(path)
    except ImageFileError as error:
        raise UploadError(_in_words(error, path)) from error
    return picture, _remark(path)


def _in_words(error: ImageFileError, path: str | os.PathLike) -> str:
    what = str(error.problems[0].value)
    if "DecompressionBomb" in what:
        return "the picture has far too many pixels"
    if "UnidentifiedImage" in what:
        return "the file is not a picture of a known format"
    if "truncated" in what or "Truncated" in what:
        return "the picture is cut off or damaged"
    return f"the picture cannot be read ({what.replace(os.fspath(path), 'the file')})"


def _remark(path: str | os.PathLike) -> str:
    with Image.open(path) as image:
        remarks = {
            f"of an animation with {getattr(image, 'n_frames', 1)} pictures the first one": (
                getattr(image, "n_frames", 1) > 1
            ),
            "turned as its EXIF data says": image.getexif().get(0x0112, 1) != 1,
            f"converted from {image.mode}": image.mode not in ("RGB", "RGBA", "L", "P", "1"),
        }
    return ", ".join(text for text, applies in remarks.items() if applies)


class WebSession:
    """Models that were asked for, loaded once, and one picture at a time through them.

    Args:
        load: name of a model -> predictor.
        max_pixels: see `read_upload`.
        load_open: classes in words -> predictor; None = no classes of one's own.
    """

    def __init__(
        self,
        load: Callable[[str], HOIPredictor],
        *,
        max_pixels: int,
        load_open: Callable[[Sequence[str]], HOIPredictor] | None = None,
    ) -> None:
        self.load, self.load_open, self.max_pixels = load, load_open, max_pixels
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
            UploadError: these cannot be classes, or the weights are not to be had.
        """
        if self.load_open is None:
            raise UploadError("classes of your own are not offered here")
        if self._open is None or self._open[0] != tuple(classes):
            try:
                self._open = tuple(classes), self.load_open(classes)
            except (ValueError, OSError, WeightsError) as error:
                raise UploadError(f"the classes cannot be used ({error})") from error
        return self._open[1]

    def analyse(
        self, path: str | os.PathLike, model: str, classes: Sequence[str] = ()
    ) -> tuple[HOIPrediction, str]:
        """What the model finds in an upload, and a remark.

        Args:
            path: of the upload.
            model: its name.
            classes: in words; where there are any, they take the model's place.

        Raises:
            UploadError: see `read_upload` and `open_predictor`.
        """
        picture, remark = read_upload(path, max_pixels=self.max_pixels)
        with self._lock:
            predictor = self.open_predictor(classes) if classes else self.predictor(model)
            prediction = predictor(picture[:, :, ::-1])
        if predictor.random_parts:
            parts = ", ".join(predictor.random_parts)
            remark = ", ".join(filter(None, [f"RANDOM WEIGHTS ({parts})", remark]))
        return prediction, remark


def view(
    prediction: HOIPrediction,
    options: DrawOptions,
    *,
    chosen: int | None = None,
    remark: str = "",
) -> View:
    """The page for a prediction.

    Args:
        prediction: everything that the model found.
        options: which interactions are shown.
        chosen: number of the row whose pair is highlighted, None = all are drawn alike.
        remark: for the status line.
    """
    shown = options.select(prediction)
    rows = [
        [
            number,
            t.verb.replace("_", " "),
            t.object or "",
            round(t.score, 3),
            _box_text(t.human_box),
            _box_text(t.object_box),
        ]
        for number, t in enumerate(shown.triplets)
    ]
    found = f"{len(rows)} of {len(prediction.hoi_instances)} interactions shown"
    status = ". ".join(filter(None, [found, remark[:1].upper() + remark[1:]]))
    if chosen is not None and 0 <= chosen < len(rows):
        return View(highlighted(shown, chosen), rows, shown.to_json(indent=1), status)
    picture = shown.draw(score_threshold=0.0, top_k=None).get_image()
    return View(picture, rows, shown.to_json(indent=1), status)


def highlighted(prediction: HOIPrediction, row: int) -> np.ndarray:
    """The picture with the pair of one interaction; everything outside its boxes is dark."""
    found = prediction.hoi_instances
    same = (found.pair_indices == found.pair_indices[row]).all(dim=1)
    light = np.full(prediction.image.shape[:2], _DIMMED)
    for boxes in (found.human_boxes, found.object_boxes):
        box = boxes.tensor[row].numpy()
        if np.isfinite(box).all():
            x0, y0, x1, y1 = np.rint(box).astype(int)
            light[y0:y1, x0:x1] = 1.0
    picture = (prediction.image * light[:, :, None]).astype(np.uint8)
    drawn = HOIVisualizer(picture).draw_hoi_instances(
        found[same], prediction.vocabulary, score_threshold=0.0, top_k=None
    )
    return drawn.get_image()


def _box_text(box: Sequence[float] | None) -> str:
    return "" if box is None else " ".join(f"{v:.0f}" for v in box)


def write_download(content: str, folder: Path) -> str:
    """A file with the JSON that the browser can fetch; returns its path."""
    path = folder / "hoi_results.json"
    path.write_text(content, encoding="utf-8")
    return str(path)
