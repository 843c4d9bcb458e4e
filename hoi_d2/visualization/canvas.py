"""Drawing primitives with detectron2's VisImage interface, on OpenCV and Pillow.

detectron2's own VisImage is a matplotlib figure, which takes tens of milliseconds before the first
line is drawn. Here the time of a label depends only on the pixels that it covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hoi_d2.utils.files import TEMPORARY_SUFFIX
from hoi_d2.visualization.fonts import default_font

if TYPE_CHECKING:
    from detectron2.utils.visualizer import VisImage
    from matplotlib.axes import Axes

Color = tuple[int, int, int]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)
GREY: Color = (190, 190, 190)

_SUBPIXEL_BITS = 4
_QUALITY = 90  # of JPEGs


@lru_cache(maxsize=64)
def load_font(size: int, path: str | None = None) -> ImageFont.FreeTypeFont:
    """Loads a font of `size` pixels; by default DejaVu Sans, which matplotlib includes.

    Raises:
        FileNotFoundError: `path` is not a font file.
    """
    path = path or default_font()
    try:
        return ImageFont.truetype(path, size)
    except OSError as error:
        raise FileNotFoundError(f"{path} cannot be read as a font") from error


@lru_cache(maxsize=512)
def text_mask(text: str, font: ImageFont.FreeTypeFont, padding: int) -> np.ndarray:
    """Renders one or more lines as (h, w) uint8 with a padding; 255 = letter."""
    lines = text.split("\n")
    ascent, descent = font.getmetrics()
    width = max(int(np.ceil(font.getlength(line))) for line in lines)
    size = (width + 2 * padding, (ascent + descent) * len(lines) + padding)
    image = Image.new("L", size, 0)
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        pen.text((padding, number * (ascent + descent) + padding // 2), line, fill=255, font=font)
    return np.asarray(image)


def wrap_text(text: str, font: ImageFont.FreeTypeFont, max_width: float) -> str:
    """Breaks lines at spaces to at most `max_width`, unless a single word is wider."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= max_width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


class HOIImage:
    """An RGB image to draw on, with detectron2's VisImage interface.

    Args:
        image: (H, W, 3) uint8 RGB; copied.
        scale: canvas size / image size.

    Attributes:
        canvas: (h, w, 3) the pixels.
        figure: detectron2's image over these pixels, once one of its primitives has drawn there.
    """

    def __init__(self, image: np.ndarray, scale: float = 1.0) -> None:
        self.scale = scale
        if scale == 1:
            self.canvas: np.ndarray = np.array(image, dtype=np.uint8, order="C")
        else:
            self.canvas = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        self.height, self.width = self.canvas.shape[:2]
        self.figure: VisImage | None = None

    @classmethod
    def of_canvas(cls, canvas: np.ndarray, scale: float) -> HOIImage:
        """An image whose canvas is in its size already."""
        image = cls(canvas)
        image.scale = scale
        return image

    @property
    def ax(self) -> Axes:
        """matplotlib's axes in pixels of the image, for detectron2's primitives (`draw_box`)."""
        if self.figure is None:
            from detectron2.utils.visualizer import VisImage  # matplotlib is slow to import

            self.figure = VisImage(self.canvas)
            size = self.width / self.scale, self.height / self.scale
            self.figure.ax.images[0].set_extent((0, size[0], size[1], 0))
            self.figure.ax.set(xlim=(0, size[0]), ylim=(size[1], 0))
        return self.figure.ax

    def reset_image(self, img: np.ndarray) -> None:
        """Starts again from an (H, W, 3) RGB image on 0..255."""
        self.__init__(img.astype(np.uint8), self.scale)  # type: ignore[misc]

    def get_image(self) -> np.ndarray:
        """Returns (H, W, 3) uint8 RGB."""
        return self.canvas if self.figure is None else self.figure.get_image()

    def save(self, path: str | Path) -> None:
        """Writes the image atomically; the suffix selects the format (PNG, JPEG, ...).

        Folders are created if needed.

        Raises:
            ValueError: the suffix is not that of an image format.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        form = Image.registered_extensions().get(path.suffix.lower())
        if form is None:
            raise ValueError(f"{path}: unknown file extension {path.suffix!r}")
        partial = path.with_name(path.name + TEMPORARY_SUFFIX)
        try:
            Image.fromarray(self.get_image()).save(
                partial, form, compress_level=3, quality=_QUALITY
            )
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def polylines(
        self, lines: Sequence[np.ndarray], color: Color, width: int, *, closed: bool = False
    ) -> None:
        """Draws anti-aliased lines, each (N, 2) x, y, with a thin dark rim for any background."""
        limit = 4.0 * max(
            self.width, self.height
        )  # outside any canvas, and without integer overflow
        scaled = [
            np.round(np.clip(line, -limit, limit) * 2**_SUBPIXEL_BITS).astype(np.int32)
            for line in lines
        ]
        rim = max(1, round(width / 3))
        for ink, thickness in ((BLACK, width + 2 * rim), (color, width)):
            cv2.polylines(self.canvas, scaled, closed, ink, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def rectangle(self, box: np.ndarray, color: Color, width: int) -> None:
        """Draws the outline of an XYXY box, inside the canvas."""
        self.polylines([_corners(self._inside(box, width))], color, width, closed=True)

    def dashed_rectangle(self, box: np.ndarray, colors: Sequence[Color], width: int) -> None:
        """Draws a dashed outline in alternating colours; a solid one if dashes do not fit."""
        dash = 5.0 * width
        if len(colors) == 1 and min(box[2:] - box[:2]) < 5 * dash:
            self.rectangle(box, colors[0], width)
            return
        corners = _corners(self._inside(box, width))
        pieces: list[np.ndarray] = []
        for start, end in zip(corners, np.roll(corners, -1, axis=0)):
            pieces += _dashes(start, end, dash)
        for number, color in enumerate(colors):
            self.polylines(pieces[number :: len(colors)], color, width)

    def line(self, start: np.ndarray, end: np.ndarray, color: Color, width: int) -> None:
        """Draws a straight line."""
        self.polylines([np.stack([start, end])], color, width)

    def dot(self, center: np.ndarray, color: Color, radius: int) -> None:
        """Draws a disc with a dark rim."""
        x, y = (round(float(v)) for v in center)
        cv2.circle(self.canvas, (x, y), radius + max(1, radius // 4), BLACK, -1, cv2.LINE_AA)
        cv2.circle(self.canvas, (x, y), radius, color, -1, cv2.LINE_AA)

    def label(self, mask: np.ndarray, x: int, y: int, color: Color) -> None:
        """Draws a filled label with dark text (a `text_mask`), clipped to the canvas."""
        part = self.canvas[max(y, 0) : y + mask.shape[0], max(x, 0) : x + mask.shape[1]]
        ink = mask[max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1], None]
        part[...] = np.round((255 - ink) * (np.asarray(color, dtype=np.float32) / 255))

    def append_labels(self, masks: Sequence[np.ndarray], colors: Sequence[Color], gap: int) -> None:
        """Extends the canvas at the bottom and draws labels there, in as many columns as fit."""
        cell_width = max(mask.shape[1] for mask in masks) + gap
        cell_height = max(mask.shape[0] for mask in masks) + gap
        columns = max(1, (self.width - gap) // cell_width)
        rows = -(-len(masks) // columns)
        panel = np.full((rows * cell_height + gap, self.width, 3), 40, dtype=np.uint8)
        top = self.height + gap
        self.canvas = np.concatenate([self.canvas, panel])
        self.height = len(self.canvas)
        for number, (mask, color) in enumerate(zip(masks, colors)):
            column, row = divmod(number, rows)
            self.label(mask, gap + column * cell_width, top + row * cell_height, color)

    def _inside(self, box: np.ndarray, width: int) -> np.ndarray:
        """Moves edges on the border inwards, so that their lines are drawn in full."""
        margin = width / 2 + 1
        size = np.array([self.width, self.height, self.width, self.height], dtype=np.float64)
        return np.clip(box, margin, np.maximum(size - margin, margin)) - 0.5


def _corners(box: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _dashes(start: np.ndarray, end: np.ndarray, dash: float) -> list[np.ndarray]:
    """Returns an odd number of dashes and gaps of about `dash`, so that both corners are drawn."""
    count = max(1, int(np.hypot(*(end - start)) / dash) // 2 * 2 + 1)
    stops = np.linspace(0, 1, count + 1)[:, None]
    points = start + stops * (end - start)
    return [points[i : i + 2] for i in range(0, count, 2)]
