"""Reads frames and their times from a video file, a stream or a camera."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

_USUAL_RATE = 25.0
_RATES = (0.01, 1000.0)  # plausible frame rates
_FINEST = 120.0
_LOOKED_AT = 250
_LATE = 1.0  # a time may be this many seconds after the end in the header


class VideoSource:
    """Yields the frames of a video and their times.

    The time of a frame is its timestamp in the file or the stream. A camera has no timestamps; its
    frames get the time at which they are read, so that times stay correct if the model is slower
    than the camera.

    Args:
        source: a file, the URL of a stream, or a camera index.

    Attributes:
        is_open: whether OpenCV can read it.
        is_live: whether it is a camera or a stream without an end.
        rate: frames per second in the header; 25 if that value is not plausible.
        duration: seconds, from the header; 0 = unknown.
    """

    def __init__(self, source: str | int) -> None:
        self.source = source
        self._capture = cv2.VideoCapture(source)
        self.is_open = bool(self._capture.isOpened())
        rate = self._capture.get(cv2.CAP_PROP_FPS) if self.is_open else 0.0
        self.rate = rate if _RATES[0] <= rate <= _RATES[1] else _USUAL_RATE
        self.is_camera = isinstance(source, int)
        count = 0.0 if self.is_camera else self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.duration = max(count, 0.0) / self.rate
        self.is_live = self.is_camera or (is_address(source) and not self.duration)

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields strictly increasing times in seconds and (H, W, 3) uint8 BGR frames."""
        last, first = -1.0, 0.0
        began: float | None = None
        while True:
            ok, frame = self._capture.read()
            if not ok:
                return
            if self.is_camera:
                now = time.monotonic()
                began = now if began is None else began
                seconds = now - began
            else:
                stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if self.is_live and last < 0:
                    first = stamp  # the clock of a stream does not start at 0
                seconds = stamp - first
            last = self._sound(seconds, last)
            yield last, frame

    def _sound(self, seconds: float, last: float) -> float:
        """Returns the time of a frame, or one interval after `last` if it is not plausible."""
        possible = math.isfinite(seconds) and seconds > last
        if self.duration:
            possible &= seconds <= self.duration + _LATE
        if possible and seconds >= 0:
            return seconds
        return 0.0 if last < 0 else last + (0.001 if self.is_camera else 1 / self.rate)

    def finest_rate(self) -> float:
        """Returns a frame rate at which each of the first frames is shown.

        It is the header's rate, or more for a variable rate, where the header has the mean.
        """
        if self.is_camera or is_address(self.source):
            return self.rate
        capture = cv2.VideoCapture(self.source)
        stamps: list[float] = []
        while len(stamps) < _LOOKED_AT and capture.grab():
            stamps.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        capture.release()
        steps = np.diff(stamps)
        steps = steps[steps > 0]
        if not len(steps) or steps.min() > 0.7 / self.rate:  # stamps are rounded
            return self.rate
        return float(min(_FINEST, round(1 / steps.min(), 2)))

    def release(self) -> None:
        """Closes the source."""
        self._capture.release()


def is_address(source: str | int) -> bool:
    """Returns whether a source is the URL of a stream, not a file."""
    return "://" in str(source)


def check_name(path: Path) -> None:
    """Raises ValueError if OpenCV would crash on the name of the file."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"--video {str(path)!r}: the name is not UTF-8, so OpenCV cannot open it; rename it"
        ) from None
